"""Options that are made from settings accept every value of every setting, and help lists them under headings."""

from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints

import click
import pytest
from click.testing import CliRunner

from transferkit.analysis.inversion_settings import InversionSettings
from transferkit.core.errors import PluginError
from transferkit.core.json_dataclass import field_hints
from transferkit.losses.pretext import PretextSettings
from transferkit.probes import PROBES
from transferkit.protocols.analyses.robustness_settings import RobustnessSettings
from transferkit.protocols.detecting.settings import DetectSettings
from transferkit.protocols.finetuning.settings import FinetuneSettings
from transferkit.protocols.invert_settings import InvertSettings
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.settings import ExtractSettings
from transferkit.training.settings import TrainerConfig
from transferkit_cli import analyze, extract, finetune, pretrain, probe, study
from transferkit_cli.help import GroupedCommand, under
from transferkit_cli.settings import (
    OTHER,
    grouped_options,
    protocol_heading,
    protocol_options,
    shared_fields,
    with_options,
)

SETTINGS = [
    (extract.command, ExtractSettings),
    (probe.command, ExtractSettings),
    *((probe.command, one.settings_type) for one in PROBES.values()),
    (finetune.command, FinetuneSettings),
    (finetune.command, DetectSettings),
    (finetune.command, TrainerConfig),
    (pretrain.command, PretrainSettings),
    (pretrain.command, TrainerConfig),
]


LISTS = {"level"}
"""Options that take several values, each of which the settings check."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of something.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        unit: unit of both.
    """

    width: int = 2
    height: int = 3
    unit: Literal["pixel", "inch"] = "pixel"


@dataclass(frozen=True)
class Width:
    """One of the sizes.

    Attributes:
        width: width in pixels.
    """

    width: int = 2


@dataclass(frozen=True)
class OtherUnit:
    """A setting of the same name with other choices.

    Attributes:
        unit: unit of both.
    """

    unit: Literal["pixel", "metre"] = "pixel"


@dataclass(frozen=True)
class OtherDefault:
    """A setting of the same name with another default.

    Attributes:
        unit: unit of both.
    """

    unit: Literal["pixel", "inch"] = "inch"


@dataclass(frozen=True)
class OtherHelp:
    """A setting of the same name with another description.

    Attributes:
        unit: unit of the width.
    """

    unit: Literal["pixel", "inch"] = "pixel"


@dataclass(frozen=True)
class Rates:
    """Settings with defaults of several types.

    Attributes:
        rate: one rate.
        rates: several rates.
        nesterov: use Nesterov momentum.
    """

    rate: float = 100000.0
    rates: tuple[float, ...] = (0.5, 2.0)
    nesterov: bool = False


class FakeProbe:
    """A probe of which only the settings matter."""

    def __init__(self, settings_type):
        self.settings_type = settings_type


def help_of(*decorators):
    def command(**options):
        """Do nothing."""

    for decorator in reversed(decorators):
        command = decorator(command)
    return CliRunner().invoke(click.command(cls=GroupedCommand)(command), ["--help"]).output


@pytest.mark.parametrize(
    "settings_type",
    [
        *dict.fromkeys(one for _, one in SETTINGS),
        InversionSettings,
        InvertSettings,
        RobustnessSettings,
        PretextSettings,
    ],
)
def test_every_number_has_limits(settings_type):
    for name, hint in field_hints(settings_type).items():
        plain = get_type_hints(settings_type)[name]
        if {int, float} & {plain, *get_args(plain)} and name != "jitter":  # AugmentSettings checks the strengths
            assert "Limits(" in str(hint) or "OneOf(" in str(hint), name


@pytest.mark.parametrize(
    ("command", "settings_type"), SETTINGS, ids=lambda one: getattr(one, "__name__", None) or one.name
)
def test_options_accept_every_choice_of_their_settings(command, settings_type):
    options = {param.name: param for param in command.params}
    hints = get_type_hints(settings_type)
    for field in fields(settings_type):
        if field.name in options.keys() - LISTS and get_origin(hints[field.name]) is Literal:
            assert set(options[field.name].type.choices) == set(get_args(hints[field.name])), field.name


GROUPED = [
    *(extract.command, finetune.command, pretrain.command, probe.command),
    *analyze.command.commands.values(),
    study.command.commands["run"],
]


@pytest.mark.parametrize("command", GROUPED, ids=lambda one: one.callback.__module__ + "." + one.name)
def test_every_option_has_a_heading(command):
    assert all(param.heading for param in command.params if isinstance(param, click.Option))
    text = CliRunner().invoke(command, ["--help"]).output
    assert "\nOptions:" not in text
    assert text.index("Workspace and output:") < text.index("General:") < text.index("--help")


def test_each_protocol_has_its_own_options():
    text = CliRunner().invoke(probe.command, ["--help"]).output
    headings = [text.index(f"\n{protocol_heading(name)}:\n") for name in PROBES]
    assert headings == sorted(headings), "in the order of the registry"
    linear = text.split(f"{protocol_heading('linear')}:")[1].split("\n\n")[0]
    assert "--penalties N" in linear
    assert "--ways" not in linear


def test_options_are_grouped_in_the_order_of_the_headings():
    text = help_of(grouped_options(Sizes, {"Unit": ("unit",), "Sizes": (OTHER,)}), under("Last", click.option("--z")))
    assert (
        text.index("Unit:\n  --unit") < text.index("Sizes:\n  --width") < text.index("--height") < text.index("Last:")
    )


def test_defaults_are_written_as_a_user_would_give_them():
    text = help_of(under("Rates", with_options(Rates)))
    assert "One rate.  [default: 100000]" in text
    assert "Several rates.  [default: 0.5,2]" in text
    assert "[default: off]" in text


@pytest.mark.parametrize("groups", [{"Unit": ("unit",)}, {"Sizes": ("depth",), "Other": (OTHER,)}])
def test_groups_name_every_field_and_no_other(groups):
    with pytest.raises(ValueError, match=r"Sizes: these are not fields, or have no heading"):
        grouped_options(Sizes, groups)


def test_a_heading_names_all_protocols_that_share_an_option():
    text = help_of(protocol_options({"a": FakeProbe(Sizes), "b": FakeProbe(Width), "c": FakeProbe(Sizes)}))
    assert text.count("--width") == text.count("--height") == 1
    assert "Options of --protocol a and --protocol b and --protocol c:\n  --width N" in text
    assert "Options of --protocol a and --protocol c:\n  --height N" in text
    assert "Options of --protocol b:" not in text


@pytest.mark.parametrize("settings_type", [OtherUnit, OtherDefault, OtherHelp])
def test_protocols_cannot_have_different_settings_of_one_name(settings_type):
    with pytest.raises(PluginError, match="The protocols a and b both have a setting unit, with different types"):
        protocol_options({"a": FakeProbe(Sizes), "b": FakeProbe(settings_type)})


def test_a_command_cannot_have_two_options_of_one_name():
    with pytest.raises(PluginError, match="--width is defined twice, under the headings 'Sizes' and 'Options of --pr"):
        help_of(under("Sizes", with_options(Sizes)), protocol_options({"a": FakeProbe(Width)}))


def test_the_option_of_a_field_can_be_replaced():
    option = click.option("--width", metavar="N,…")
    text = help_of(protocol_options({"a": FakeProbe(Sizes)}, replaced={"width": option}))
    assert text.index("--width N,…") < text.index("--height N")


def test_one_option_cannot_serve_different_choices():
    with pytest.raises(ValueError, match="The settings unit have different choices"):
        shared_fields(Sizes, OtherUnit, notes={"unit": "In metres."})


@pytest.mark.parametrize("settings_type", [OtherDefault, OtherHelp])
def test_one_option_says_what_differs_between_its_settings(settings_type):
    with pytest.raises(ValueError, match="The settings unit differ in default or description"):
        shared_fields(Sizes, settings_type, notes={"width": "Two."})
    assert shared_fields(Sizes, settings_type, notes={"unit": "In inches."}) == {"unit"}
