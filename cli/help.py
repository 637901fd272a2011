"""Layout of help pages: options under headings, whole sentences in lists of commands, and no broken words."""

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from transferkit.core.errors import PluginError

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

GENERAL = "General"
"""Heading of ``--help`` and of the other options that do not change the result."""

_SPACE, _HYPHEN = "\u00a0", "\u2011"  # a space and a hyphen at which lines do not break
_KEPT_DEFAULT = re.compile(r"\[default: [^\]]{1,30}\]")


class HelpFormatter(click.HelpFormatter):
    """Writes help whose lines do not break at hyphens, nor within short defaults."""

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text(_unbroken(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write a list of options or commands with their descriptions."""
        super().write_dl([(name, _unbroken(text)) for name, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        """Return the page, with common spaces and hyphens."""
        return super().getvalue().replace(_SPACE, " ").replace(_HYPHEN, "-")


def _unbroken(text: str) -> str:
    return _KEPT_DEFAULT.sub(lambda found: found[0].replace(" ", _SPACE), text).replace("-", _HYPHEN)


class HelpContext(click.Context):
    """The context of commands whose help ``HelpFormatter`` writes."""

    formatter_class = HelpFormatter


class GroupedCommand(click.Command):
    """A command whose help lists options under the headings that ``under`` gave them.

    Raises: PluginError: if two options have the same name: one of them comes from the settings of a plug-in.
    """

    context_class = HelpContext

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        owners: dict[str, click.Parameter] = {}
        for param in self.params:
            for name in {param.name or "", *param.opts, *param.secondary_opts}:
                if (owner := owners.setdefault(name, param)) is not param:
                    raise PluginError(
                        f"The option {param.opts[0]} is defined twice, under the headings {_heading(owner)!r} and "
                        f"{_heading(param)!r}. Rename the setting of the plug-in."
                    )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per heading, in the order of the first option of each."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                heading = GENERAL if "--help" in param.opts else _heading(param) or "Options"
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _heading(param: click.Parameter) -> str:
    return getattr(param, "heading", "")


class Section(click.Group):
    """A group that lists its commands in the order of their definitions, each with its whole first sentence."""

    context_class = HelpContext
    command_class = GroupedCommand

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of their definitions."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and summaries of the commands."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(sys.maxsize)) for name, command in commands.items() if command]
            )


def under(heading: str, *decorators: Decorator) -> Decorator:
    """Return a decorator that adds options under a heading of the help, in the given order.

    Args:
        heading: heading of those of the added options that do not have one yet.
        decorators: decorators that add options, such as those of ``click.option``.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        others = list(getattr(function, "__click_params__", ()))
        for decorator in reversed(decorators):
            function = decorator(function)
        for param in getattr(function, "__click_params__", ()):
            if param not in others and not hasattr(param, "heading"):
                param.heading = heading
        return function

    return decorate
