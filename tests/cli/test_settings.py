"""Options that are made from settings accept every value of every setting, and help lists them under headings."""

from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints

import click
import pytest
from click.testing import CliRunner

from transferkit.core.errors import PluginError
from transferkit.probes import PROBES
from transferkit.protocols.detecting.settings import DetectSettings
from transferkit.protocols.finetuning.settings import FinetuneSettings
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.settings import ExtractSettings
from transferkit.training.settings import TrainerConfig
from transferkit_cli import extract, finetune, pretrain, probe
from transferkit_cli.settings import (
    OTHER,
    GroupedCommand,
    grouped_options,
    protocol_heading,
    protocol_options,
    shared_fields,
    under,
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
class OtherSizes:
    """Sizes of something else.

    Attributes:
        width: width in pixels.
        unit: unit of the width.
    """

    width: int = 2
    unit: Literal["pixel", "metre"] = "pixel"


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
    ("command", "settings_type"), SETTINGS, ids=lambda one: getattr(one, "__name__", None) or one.name
)
def test_options_accept_every_choice_of_their_settings(command, settings_type):
    options = {param.name: param for param in command.params}
    hints = get_type_hints(settings_type)
    for field in fields(settings_type):
        if field.name in options.keys() - LISTS and get_origin(hints[field.name]) is Literal:
            assert set(options[field.name].type.choices) == set(get_args(hints[field.name])), field.name


@pytest.mark.parametrize("command", [extract.command, finetune.command, pretrain.command, probe.command])
def test_every_option_has_a_heading(command):
    assert all(param.heading for param in command.params)
    text = CliRunner().invoke(command, ["--help"]).output
    assert "\nOptions:" not in text
    assert text.index("--help") > text.index("Workspace and output:")


def test_each_protocol_has_its_own_options():
    text = CliRunner().invoke(probe.command, ["--help"]).output
    for name in PROBES:
        assert f"\n{protocol_heading(name)}:\n" in text
    linear = text.split(f"{protocol_heading('linear')}:")[1].split("\n\n")[0]
    assert "--penalties N" in linear
    assert "--ways" not in linear


def test_options_are_grouped_in_the_order_of_the_headings():
    text = help_of(grouped_options(Sizes, {"Unit": ("unit",), "Sizes": (OTHER,)}), under("Last", click.option("--z")))
    assert (
        text.index("Unit:\n  --unit") < text.index("Sizes:\n  --width") < text.index("--height") < text.index("Last:")
    )


@pytest.mark.parametrize("groups", [{"Unit": ("unit",)}, {"Sizes": ("depth",), "Other": (OTHER,)}])
def test_groups_name_every_field_and_no_other(groups):
    with pytest.raises(ValueError, match=r"Sizes: these are not fields, or have no heading"):
        grouped_options(Sizes, groups)


def test_protocols_share_settings_that_are_the_same():
    text = help_of(protocol_options({"a": FakeProbe(Sizes), "b": FakeProbe(Sizes)}))
    assert text.count("--width") == 1
    assert "Options of --protocol a:" in text


def test_protocols_cannot_have_different_settings_of_one_name():
    with pytest.raises(PluginError, match="The protocols a and b both have a setting unit, with different types"):
        protocol_options({"a": FakeProbe(Sizes), "b": FakeProbe(OtherSizes)}, skip=("width",))


def test_one_option_cannot_serve_different_choices():
    assert shared_fields(FinetuneSettings, DetectSettings) >= {"lr", "batch", "seed"}
    with pytest.raises(ValueError, match="The settings unit have different choices"):
        shared_fields(Sizes, OtherSizes)
