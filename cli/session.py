"""The session of a command (workspace, progress, output) and the options that several commands share."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from transferkit.core.progress import Reporter
from transferkit.core.workspace import DEFAULT_NAME, Workspace
from transferkit.reports.progress import reporter_for
from transferkit.reports.rendering import Part, rendered

from .help import GENERAL, Decorator, under

MODEL_HELP = (
    "Models, such as timm:resnet18, run:NAME or file:PATH#ARCH; transferkit models list explains all forms. latest is "
    "the pretraining run that finished last; imagenet-lite0 has ImageNet weights and needs no download.  "
    "[default: latest, else imagenet-lite0]"
)
DATA_HELP = (
    "Data sets, such as dtd, or folder:PATH for your own images in one folder per class; transferkit datasets list "
    "shows all. mini is a suite of 12 small data sets that needs no download.  [default: mini]"
)
WORKSPACE_HELP = (
    "Folder of data sets, runs, features, results and reports.  "
    f"[default: $TRANSFERKIT_WORKSPACE, else ./{DEFAULT_NAME}]"
)
SEED_HELP = "Seed of random draws, such as --limit and the splits of data sets without official ones.  [default: 0]"
_COMMA = re.compile(r",(?![^()]*\))")  # separates list items; not within the parentheses of an option's value
PLUGIN_HELP = (
    "Python file that adds models, data sets, probes, analyses, losses or targets, as those in $TRANSFERKIT_PLUGINS "
    "do. May be given several times."
)
PIPE_WIDTH = 160  # width of tables that go to a file or a pipe, where no terminal sets one


@dataclass(frozen=True)
class Session:
    """The options that every command has.

    Attributes:
        workspace: folder of runs, features, results and reports.
        reporter: receiver of progress messages; never standard output.
        as_json: True if results are printed as JSON.
    """

    workspace: Workspace
    reporter: Reporter
    as_json: bool

    def show(self, value: Any, *parts: Part) -> None:
        """Print the result: ``value`` if JSON is requested, else ``parts``, one below the other."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
            return
        console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
        view = rendered(*parts)
        console.print(view, markup=False, highlight=False, emoji=False, crop=False)  # long names stay whole

    def save_figures(self, path: str | None, name: str, figures: Mapping[str, Any]) -> str:
        """Save figures; the names of several figures end with their keys.

        Args:
            path: path without an extension; ``name`` in the workspace's reports folder unless given.
            name: file name without an extension.
            figures: key → figure.

        Returns: one line per figure with the path of its PNG file.
        """
        from transferkit.reports.figures import save_figure

        written: list[Path] = []
        for key, figure in figures.items():
            base = Path(path).expanduser() if path else self.workspace.reports / name
            target = base if len(figures) == 1 else base.with_name(f"{base.name}-{key.replace('/', '-')}")
            written += save_figure(figure, target)
        return "\n".join(f"Drawn: {file}" for file in written if file.suffix == ".png")

    def show_facts(self, value: Mapping[str, Any]) -> None:
        """Print the fields of one object: as JSON, or one line per field."""
        table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
        for name, text in value.items():
            table.add_row(name, Text(str(text)))
        self.show(dict(value), table)


def described_fields(entries: Mapping[str, Mapping[str, str]]) -> Group:
    """Return each name with its fields below, whose sentences are too long for the cells of a table."""
    parts: list[RenderableType] = []
    for name, texts in entries.items():
        parts += [Text("")] if parts else []
        parts.append(Text(name, style="bold"))
        parts += [Padding(Text(f"{field}: {text}"), (0, 0, 0, 2), expand=False) for field, text in texts.items()]
    return Group(*parts)


def preset_fields(preset: Any) -> dict[str, str]:
    """Return what the presets of training say about themselves."""
    return {name: getattr(preset, name) for name in ("source", "hardware", "outcome")}


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--workspace``, ``--json`` and ``--quiet``; the function receives a ``Session`` as first argument."""

    @click.option("--workspace", metavar="DIR", help=WORKSPACE_HELP, envvar="TRANSFERKIT_WORKSPACE")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
    @under(
        GENERAL,
        click.option("-q", "--quiet", is_flag=True, help="Print only the result, without progress and notes."),
        click.option("--plugin", multiple=True, expose_value=False, metavar="FILE.py", help=PLUGIN_HELP),
    )
    @wraps(function)
    def command(*, workspace: str | None, as_json: bool, quiet: bool, **options: Any) -> Any:
        session = Session(Workspace.at(workspace), reporter_for(quiet=quiet), as_json)
        return function(session, **options)

    return command


def listed(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the items of an option given several times or as a comma-separated list, without repeats, in order."""
    return tuple(dict.fromkeys(_split_items(ctx, param, values)))


def _split_items(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    parts = [part.strip() for value in values for part in _COMMA.split(value)]
    if "" in parts:
        raise click.BadParameter(
            f"{','.join(values)!r} has an empty item: separate items by single commas.", ctx, param
        )
    return parts


data_option = click.option("-d", "--data", multiple=True, default=("mini",), metavar="SPEC,…", help=DATA_HELP)
"""``--data``, which accepts several data sets."""

seed_option = click.option("--seed", default=0, metavar="N", help=SEED_HELP)
"""``--seed`` of commands whose settings have no seed."""

force_option = click.option("--force", is_flag=True, help="Recompute results that are stored already.")
"""``--force``."""


def _spec_option(name: str, metavar: str, text: str) -> Decorator:
    """Return an option that becomes part of model specs; the function does not receive it."""
    return click.option(
        name, metavar=metavar, is_eager=True, expose_value=False, callback=_store_spec_option, help=text
    )


def _store_spec_option(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Store the text of an option until the specs are parsed; several numbers become a tuple."""
    if value is not None:
        ctx.meta.setdefault("spec_options", {})[param.name] = f"({value})" if "," in value else value


_OWN = "  [default: the model's own]"

weights_key_option = _spec_option(
    "--weights-key",
    "NAME",
    "Copy of the weights to load, such as model_ema, if a checkpoint file (file:PATH#ARCH) has several.  "
    "[default: the copy that the authors of its training method evaluate]",
)
"""``--weights-key``, which becomes part of the specs of checkpoint files."""

preprocessing_options = under(
    "Preprocessing of images",
    _spec_option(
        "--resize",
        "N",
        "Size in pixels to which images are resized before the centre crop at the model's own input size, such as 256 "
        f"for a model of 224 pixels. With another --size, it changes in proportion.{_OWN}",
    ),
    _spec_option(
        "--fit",
        "NAME",
        "Side that --resize sets: shorter, squash (both sides, which changes the aspect ratio) or border (the longer "
        f"side; the rest is padded with the mean colour).{_OWN}",
    ),
    _spec_option("--interpolation", "NAME", f"Interpolation of the resize: bilinear, bicubic or area.{_OWN}"),
    _spec_option(
        "--mean",
        "X,…",
        f"Mean that is subtracted from the channels, one number or three, for values from 0 to 1.{_OWN}",
    ),
    _spec_option("--std", "X,…", f"Standard deviation that divides the channels, one number or three.{_OWN}"),
)
"""Options of the preprocessing, which become part of the specs of all models."""


def _models(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    specs, options = listed(ctx, param, values), ctx.meta.get("spec_options", {})
    if options and not specs:
        names = ", ".join("--" + name.replace("_", "-") for name in options)
        raise click.BadParameter(f"{names} needs a model: name it with --model SPEC.", ctx, param)
    return completed(*specs)


model_option = click.option("-m", "--model", multiple=True, callback=_models, metavar="SPEC,…", help=MODEL_HELP)
"""``--model``, which accepts several models."""


def completed(*specs: str) -> tuple[str, ...]:
    """Return the specs with the preprocessing options, and those of checkpoint files with ``--weights-key``."""
    from transferkit.models.options import with_options

    options = dict(click.get_current_context().meta.get("spec_options", {}))
    key = {name: options.pop(name) for name in ("weights_key",) if name in options}
    if key and not any(spec.startswith("file:") for spec in specs):
        raise click.BadParameter(
            f"--weights-key {key['weights_key']} was given, but {', '.join(specs)} is not a checkpoint file: it "
            "chooses one of several copies of the weights in a file, use file:PATH#ARCH."
        )
    return tuple(with_options(s, {**options, **(key if s.startswith("file:") else {})}) for s in specs)


def canonical(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return specs in the form that records and keys use: paths are absolute, groups become their members."""
    specs: list[str] = []
    for spec in listed(ctx, param, values):
        scheme, _, rest = spec.partition(":")
        if scheme in ("folder", "file", "imagenet", "miniimagenet"):
            specs.append(f"{scheme}:{os.path.normpath(Path(rest).expanduser().absolute())}")
        else:
            from transferkit.protocols.dataset_catalog import group_members  # does not import torch, but takes 0.25 s

            specs += group_members(spec) or [spec]
    return tuple(specs)


def listed_integers(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    """Return the items of an option as positive integers, without repeats."""
    try:
        numbers = tuple(int(part) for part in listed(ctx, param, values))
    except ValueError as error:
        raise click.BadParameter(
            f"{','.join(values)} is not a list of integers: give integers separated by commas.", ctx, param
        ) from error
    if any(number < 1 for number in numbers):
        raise click.BadParameter(f"{min(numbers)} is too small: give integers of at least 1.", ctx, param)
    return numbers


def listed_numbers(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[float, ...]:
    """Return the items of an option as numbers, without repeats."""
    return tuple(dict.fromkeys(number_tuple(ctx, param, values)))


def number_tuple(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[float, ...]:
    """Return the items of an option as numbers with repeats, for a tuple whose positions have a meaning."""
    try:
        return tuple(float(part) for part in _split_items(ctx, param, values))
    except ValueError as error:
        raise click.BadParameter(
            f"{','.join(values)} is not a list of numbers: give numbers separated by commas.", ctx, param
        ) from error
