"""Choice between several copies of the weights in a checkpoint."""

import pytest
import torch
from torch import Tensor

from transferkit.core.errors import CheckpointError, UsageError
from transferkit.core.progress import Silent
from transferkit.models.architectures import find_architecture
from transferkit.models.catalog import load_encoder
from transferkit.models.checkpoints import file_encoder

ARCH = "test_resnet"
ONE, TWO, THREE = (dict(find_architecture(ARCH).build(seed=seed).state_dict()) for seed in (1, 2, 3))


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def loaded(tmp_path, held, option: str = ""):
    torch.save(held, tmp_path / "w.pth")
    return file_encoder(f"{tmp_path / 'w.pth'}#{ARCH}{option}")


def is_from(encoder, state) -> bool:
    own = encoder.module.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items() if name in own)


CONVENTIONS = {
    "I-JEPA": (
        {"encoder": under("module.", TWO), "target_encoder": under("module.", ONE)},
        "target_encoder.module",
    ),
    "V-JEPA": (
        {"predictor": {"a": torch.ones(1)}, "encoder": TWO, "target_encoder": ONE},
        "target_encoder",
    ),
    "timm's trainer": ({"state_dict": TWO, "state_dict_ema": ONE}, "state_dict_ema"),
    "DeiT": ({"model": TWO, "model_ema": ONE}, "model_ema"),
    "torchvision's references": (
        {"model": TWO, "model_ema": under("module.", ONE) | {"n_averaged": torch.ones(1)}},
        "model_ema.module",
    ),
    "DINO": (
        {"student": under("module.backbone.", TWO), "teacher": under("backbone.", ONE)},
        "teacher.backbone",
    ),
    "MoCo": (
        {"state_dict": under("module.encoder_k.", TWO) | under("module.encoder_q.", ONE)},
        "state_dict.module.encoder_q",
    ),
    "BYOL": (
        {"online_encoder": ONE, "target_encoder": TWO, "predictor": {"a": torch.ones(1)}},
        "online_encoder",
    ),
}


@pytest.mark.parametrize("method", CONVENTIONS)
def test_the_copy_that_the_method_evaluates_is_loaded_and_named(method, tmp_path):
    held, name = CONVENTIONS[method]
    encoder = loaded(tmp_path, held)
    assert is_from(encoder, ONE)
    assert f"w.pth: loaded the weights in {name} as timm:{ARCH}." in encoder.note
    assert "The file also holds " in encoder.note
    assert "choose with --weights-key NAME." in encoder.note
    assert encoder.source == f"w.pth, {name}"


@pytest.mark.parametrize(
    ("held", "key"),
    [
        ({"encoder": TWO, "target_encoder": ONE}, "encoder"),
        ({"state_dict": TWO, "state_dict_ema": ONE}, "state_dict"),
        ({"state_dict": under("module.encoder_k.", TWO) | under("module.encoder_q.", ONE)}, "encoder_k"),
        ({"ema": {"module": ONE}, "nets": {"a": TWO, "b": THREE}}, "nets.a"),
    ],
)
def test_another_copy_is_chosen_by_its_name_which_stays_in_the_spec(held, key, tmp_path):
    encoder = loaded(tmp_path, held, f"?weights_key={key}")
    assert is_from(encoder, TWO)
    assert encoder.spec == f"file:{tmp_path / 'w.pth'}#{ARCH}?weights_key={key}"
    assert encoder.architecture == f"timm:{ARCH}"


def test_an_unknown_copy_is_refused_with_the_names_of_all_copies(tmp_path):
    with pytest.raises(UsageError, match=r"has no copy of the weights named 'ema'\. It has: model, model_ema\."):
        loaded(tmp_path, {"model": ONE, "model_ema": TWO}, "?weights_key=ema")


def test_copies_that_no_convention_ranks_must_be_chosen(tmp_path):
    held = {"net_a": ONE, "net_b": TWO}
    with pytest.raises(CheckpointError, match=r"convention selects .*: net_a, net_b\. Choose one with --weights-key"):
        loaded(tmp_path, held)
    assert is_from(loaded(tmp_path, held, "?weights_key=net_b"), TWO)


def test_equal_copies_need_no_choice(tmp_path):
    same = {name: value.clone() for name, value in ONE.items()}
    assert is_from(loaded(tmp_path, {"net_a": ONE, "net_b": same}), ONE)


def test_the_only_copy_is_loaded_under_any_name(tmp_path):
    encoder = loaded(tmp_path, {"momentum_encoder": ONE})
    assert is_from(encoder, ONE)
    assert "also holds" not in encoder.note


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_loading_a_checkpoint_reports_the_copy_and_the_preprocessing(tmp_path):
    torch.save(ONE, tmp_path / "w.pth")
    reporter = Heard()
    load_encoder(f"file:{tmp_path / 'w.pth'}#{ARCH}", reporter=reporter)
    load_encoder(f"random:timm:{ARCH}", reporter=reporter)
    assert reporter.notes == [
        "w.pth: loaded the weights in its top level as timm:test_resnet. Preprocessing: shorter side to 168 "
        "pixels (bilinear), central 160, mean 0.5 0.5 0.5, std 0.5 0.5 0.5."
    ]
