import json
import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Annotated, Literal

import numpy as np
import pytest

from transferkit.core.errors import UsageError
from transferkit.core.settings import (
    Fraction,
    Limits,
    NonEmpty,
    NonNegativeFloat,
    NonNegativeInt,
    OneOf,
    PositiveFloat,
    PositiveInt,
    Seed,
    Settings,
    option_name,
)


@dataclass(frozen=True)
class Optimizer(Settings):
    kind: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["cosine", "step"] | None = None
    losses: tuple[Literal["ce", "supcon"], ...] = ()
    dtype: Annotated[str, OneOf(("float16", "float32"))] = "float32"
    severities: tuple[Annotated[int, OneOf((1, 2, 3))], ...] = (1,)
    lr: Annotated[tuple[PositiveFloat, ...], NonEmpty()] = (0.1,)
    weight_decay: NonNegativeFloat | None = None
    epochs: PositiveInt = 1
    warmup: NonNegativeInt = 0
    flip_prob: Fraction = 0.5
    stages: Annotated[int, Limits(2, 4)] = 4
    scale: tuple[float, float] | None = None
    seed: Seed = 0

    def check(self) -> None:
        if self.warmup > self.epochs:
            raise UsageError("--warmup is longer than --epochs.")


@dataclass(frozen=True)
class Views(Settings, command_line=False):
    blur_prob: Fraction = 0.5
    sizes: Annotated[tuple[int, ...], NonEmpty()] = (1,)


@dataclass(frozen=True)
class Training(Settings):
    optimizer: Optimizer = Optimizer()
    views: Views | None = None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "adamw", "schedule": "step", "losses": ("ce", "supcon"), "dtype": "float16", "severities": (3, 1)},
        {"lr": (1e-300, 7), "weight_decay": 0, "flip_prob": 1, "stages": 2, "seed": 2**63 - 1},
        {"flip_prob": np.float64(0.0), "epochs": np.int64(3), "warmup": 3},
    ],
)
def test_allowed_values_are_kept(values):
    settings = Optimizer(**values)
    assert {name: getattr(settings, name) for name in values} == values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "lion"}, "--kind 'lion' is unknown. Choose from: sgd, adamw."),
        ({"kind": "adam"}, "--kind 'adam' is unknown. Did you mean 'adamw'? Choose from: sgd, adamw."),
        ({"kind": None}, "--kind None is unknown. Choose from: sgd, adamw."),
        ({"schedule": "tenths"}, "--schedule 'tenths' is unknown. Choose from: cosine, step."),
        ({"losses": ("ce", "mae")}, "--losses 'mae' is unknown. Choose from: ce, supcon."),
        ({"dtype": "int8"}, "--dtype 'int8' is unknown. Choose from: float16, float32."),
        ({"severities": (1, 9)}, "--severities 9 is unknown. Choose from: 1, 2, 3."),
        ({"lr": ()}, "--lr () is empty: give at least one value."),
        ({"lr": (0.1, 0.0)}, "--lr 0 is invalid: give more than 0."),
        ({"lr": (math.nan,)}, "--lr nan is invalid: give a finite number, more than 0."),
        ({"weight_decay": -0.5}, "--weight-decay -0.5 is invalid: give 0 or more."),
        ({"weight_decay": math.inf}, "--weight-decay inf is invalid: give a finite number, 0 or more."),
        ({"epochs": 0}, "--epochs 0 is invalid: give 1 or more."),
        ({"epochs": np.int64(0)}, "--epochs 0 is invalid: give 1 or more."),
        ({"epochs": None}, "--epochs None is invalid: give a finite number, 1 or more."),
        ({"epochs": "many"}, "--epochs 'many' is invalid: give a finite number, 1 or more."),
        ({"warmup": -1}, "--warmup -1 is invalid: give 0 or more."),
        ({"flip_prob": 1.5}, "--flip-prob 1.5 is invalid: give 0 or more and at most 1."),
        ({"flip_prob": -math.inf}, "--flip-prob -inf is invalid: give a finite number, 0 or more and at most 1."),
        ({"stages": 5}, "--stages 5 is invalid: give 2 or more and at most 4."),
        ({"seed": 2**63}, f"--seed {2**63} is invalid: give 0 or more and at most {2**63 - 1}."),
        ({"warmup": 2}, "--warmup is longer than --epochs."),
    ],
)
def test_errors_name_the_option_the_value_and_what_is_allowed(values, words):
    with pytest.raises(UsageError) as error:
        Optimizer(**values)
    assert str(error.value) == words
    with pytest.raises(UsageError):
        replace(Optimizer(), **values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"blur_prob": 2}, "blur_prob = 2 is invalid: give 0 or more and at most 1."),
        ({"sizes": ()}, "sizes = () is empty: give at least one value."),
    ],
)
def test_errors_can_name_fields_that_are_no_options(values, words):
    with pytest.raises(UsageError) as error:
        Views(**values)
    assert str(error.value) == words


def test_limits_are_checked_before_the_rules_between_fields():
    with pytest.raises(UsageError, match="--warmup -1 is invalid"):
        Optimizer(epochs=1, warmup=-1, seed=0)


def test_settings_are_values():
    assert Optimizer(lr=[0.1, 0.2], losses=["ce"]) == Optimizer(lr=(0.1, 0.2), losses=("ce",))
    assert hash(Optimizer(lr=[0.1])) == hash(Optimizer())
    with pytest.raises(FrozenInstanceError):
        Optimizer().epochs = 2


def test_nested_settings_survive_as_json():
    training = Training(Optimizer(lr=(0.1, 0.2), scale=(0.5, 1.0)), Views(sizes=(1, 2)))
    plain = json.loads(json.dumps(training.to_json()))
    assert plain["optimizer"]["lr"] == [0.1, 0.2]
    assert Training.from_json(plain) == training
    assert Training.from_json(Training().to_json()) == Training()
    with pytest.raises(UsageError, match="--stages 9 is invalid"):
        Training.from_json({"optimizer": {"stages": 9}})
    with pytest.raises(TypeError, match="stage"):
        Optimizer.from_json({"stage": 2})


def test_the_option_of_a_field_has_hyphens():
    assert option_name("weight_decay") == "--weight-decay"


def test_settings_import_neither_torch_nor_numpy():
    code = "import sys, transferkit.core.settings; print({'torch', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 2.5}, "--epochs 2.5 is invalid: give an integer."),
        ({"epochs": True}, "--epochs True is invalid: give an integer."),
        ({"flip_prob": "0.5"}, "--flip-prob '0.5' is invalid: give a finite number, 0 or more and at most 1."),
        ({"losses": "ce"}, "--losses 'ce' is invalid: give several values."),
        ({"lr": 0.1}, "--lr 0.1 is invalid: give several values."),
        ({"lr": None}, "--lr None is empty: give at least one value."),
        ({"scale": (1.0, 2.0, 3.0)}, "--scale 1,2,3 is invalid: give 2 values."),
        ({"scale": (1.0, "x")}, "--scale 'x' is invalid: give a number."),
        ({"dtype": 16}, "--dtype 16 is unknown. Choose from: float16, float32."),
    ],
)
def test_values_have_the_types_of_their_fields(changes, message):
    with pytest.raises(UsageError) as raised:
        Optimizer(**changes)
    assert str(raised.value) == message


def test_an_integer_is_a_number_and_a_number_of_numpy_too():
    assert Optimizer(flip_prob=1, epochs=np.int64(3), lr=(np.float32(0.5),)).epochs == 3
