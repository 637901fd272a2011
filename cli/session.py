"""What every command shares: where it works, how it speaks, and what it prints."""

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
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from transferkit.core.progress import Reporter, reporter_for
from transferkit.core.workspace import Workspace

MODEL_HELP = "Encoders; see transferkit models list.  [default: latest, else imagenet-lite0]"
_COMMA = re.compile(r",(?![^()]*\))")  # of a list, and not within the parentheses of an option's value
PIPE_WIDTH = 160  # of tables that go to a file or a pipe, where no terminal sets a limit


class Section(click.Group):
    """A group that lists its commands in the order in which they are written."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, as written."""
        return list(self.commands)


@dataclass(frozen=True)
class Session:
    """The options that every command has.

    Attributes:
        workspace: where runs, features, results and reports lie.
        reporter: where progress goes; never standard output.
        as_json: whether standard output is for machines.
    """

    workspace: Workspace
    reporter: Reporter
    as_json: bool

    def show(self, value: Any, table: RenderableType) -> None:
        """Print the result: ``value`` as JSON, or ``table`` for people."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
            return
        console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
        console.print(table, markup=False, highlight=False, emoji=False, crop=False)  # long names stay whole

    def drawn(self, place: str | None, name: str, figures: Mapping[str, Any]) -> Text:
        """Save figures, each by its own name where there are several; say where.

        Args:
            place: a path without an ending; the workspace's reports unless given.
            name: of the files in the reports.
            figures: key → figure.
        """
        from transferkit.reports.figures import save_figure

        written: list[Path] = []
        for key, figure in figures.items():
            base = Path(place).expanduser() if place else self.workspace.reports / name
            named = base if len(figures) == 1 else base.with_name(f"{base.name}-{key.replace('/', '-')}")
            written += save_figure(figure, named)
        return Text("".join(f"Drawn: {path}\n" for path in written if path.suffix == ".png").rstrip())

    def show_facts(self, value: Mapping[str, Any]) -> None:
        """Print one thing: as JSON, or a line for each of its fields."""
        table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
        for name, text in value.items():
            table.add_row(name, Text(str(text)))
        self.show(dict(value), table)


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--workspace``, ``--json`` and ``--quiet``; the function gets a ``Session`` first."""

    @click.option("--workspace", metavar="DIR", help="Folder of features and results.", envvar="TRANSFERKIT_WORKSPACE")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but the result.")
    @wraps(function)
    def command(*, workspace: str | None, as_json: bool, quiet: bool, **options: Any) -> Any:
        session = Session(Workspace.at(workspace), reporter_for(quiet=quiet), as_json)
        return function(session, **options)

    return command


def listed(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Flatten an option given several times or as a comma list; repeats are dropped, order is kept."""
    return tuple(dict.fromkeys(_items(ctx, param, values)))


def _items(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    parts = [part.strip() for value in values for part in _COMMA.split(value)]
    if "" in parts:
        raise click.BadParameter("there is an empty item in the list.", ctx, param)
    return parts


_SPEC_OPTIONS: dict[str, tuple[str, str]] = {
    "weights_key": (
        "NAME",
        "Copy of the weights to load from a checkpoint with several, such as model_ema or target_encoder.  "
        "[default: the copy that the method evaluates]",
    ),
    "resize": ("N", "Pixels that an image is resized to before the crop, at the encoder's own size."),
    "fit": ("NAME", "What is resized: shorter, squash (both sides) or border (the longer side, padded)."),
    "interpolation": ("NAME", "Resampling of the resize: bilinear, bicubic or area."),
    "mean": ("X,…", "Mean of the channels, one number or three, for values from 0 to 1."),
    "std": ("X,…", "Standard deviation of the channels, one number or three."),
}


def spec_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that become part of the specs of models; the function does not see them."""
    for name, (metavar, text) in reversed(_SPEC_OPTIONS.items()):
        own = "" if name == "weights_key" else "  [default: the encoder's own]"
        function = click.option(
            "--" + name.replace("_", "-"),
            name,
            metavar=metavar,
            is_eager=True,
            expose_value=False,
            callback=_remember,
            help=text + own,
        )(function)
    return function


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--model``, which may name several, and the options that become part of their specs."""
    model = click.option("-m", "--model", multiple=True, callback=_models, metavar="SPEC,…", help=MODEL_HELP)
    return model(spec_options(function))


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Keep the text of an option until the specs are read; several numbers become a tuple."""
    if value is not None:
        ctx.meta.setdefault("spec_options", {})[param.name] = f"({value})" if "," in value else value


def _models(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    specs, options = listed(ctx, param, values), ctx.meta.get("spec_options", {})
    if options and not specs:
        names = ", ".join("--" + name.replace("_", "-") for name in options)
        raise click.BadParameter(f"{names} belongs to a model: name it with --model SPEC.", ctx, param)
    return completed(*specs)


def completed(*specs: str) -> tuple[str, ...]:
    """The specs with what ``spec_options`` gave; the key of the weights belongs to checkpoints alone."""
    from transferkit.models.options import with_options

    options = dict(click.get_current_context().meta.get("spec_options", {}))
    key = {name: options.pop(name) for name in ("weights_key",) if name in options}
    if key and not any(spec.startswith("file:") for spec in specs):
        raise click.BadParameter(
            f"--weights-key {key['weights_key']} chooses a copy of the weights in a checkpoint, and "
            f"{', '.join(specs)} is none: use file:PATH#ARCH."
        )
    return tuple(with_options(s, {**options, **(key if s.startswith("file:") else {})}) for s in specs)


def canonical(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """A list of specs as records and keys spell them: paths absolute, groups as their members."""
    specs: list[str] = []
    for spec in listed(ctx, param, values):
        scheme, _, rest = spec.partition(":")
        if scheme in ("folder", "file", "imagenet", "miniimagenet"):
            specs.append(f"{scheme}:{os.path.normpath(Path(rest).expanduser().absolute())}")
        else:
            from transferkit.data.catalog import group_members  # no torch, but a quarter of a second

            specs += group_members(spec) or [spec]
    return tuple(specs)


def listed_integers(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    """The same for positive whole numbers."""
    try:
        numbers = tuple(int(part) for part in listed(ctx, param, values))
    except ValueError as error:
        raise click.BadParameter(f"{','.join(values)} is not a list of whole numbers.", ctx, param) from error
    if any(number < 1 for number in numbers):
        raise click.BadParameter(f"{min(numbers)} is too small: give 1 or more.", ctx, param)
    return numbers


def listed_numbers(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[float, ...]:
    """The same for numbers of any kind."""
    return tuple(dict.fromkeys(number_tuple(ctx, param, values)))


def number_tuple(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[float, ...]:
    """Numbers whose places have different meanings; repeats are kept."""
    try:
        return tuple(float(part) for part in _items(ctx, param, values))
    except ValueError as error:
        raise click.BadParameter(f"{','.join(values)} is not a list of numbers.", ctx, param) from error
