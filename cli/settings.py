"""Options that are generated from settings: name, type, default and help come from the frozen dataclass."""

import inspect
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from transferkit.core.errors import PluginError

from .session import listed, listed_integers, listed_numbers, number_tuple


def field_help(settings_type: type) -> dict[str, str]:
    """Return field → its description under ``Attributes:``, as one sentence."""
    text = inspect.getdoc(settings_type) or ""
    _, _, attributes = text.partition("Attributes:\n")
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", attributes, flags=re.MULTILINE)
    return {name: _as_sentence(re.sub(r"\s+", " ", text)) for name, text in entries}


def _as_sentence(text: str) -> str:
    first = text[0] if text.startswith("`") else text[0].upper()  # a literal keeps its case
    return (first + text[1:]).replace("``", "").strip().rstrip(".") + "."


def options_of(
    settings_type: type, *, skip: tuple[str, ...] = (), notes: Mapping[str, str] | None = None
) -> list[Callable[..., Any]]:
    """Return one Click option per field; an omitted option is None, so that only the settings define defaults.

    Args:
        settings_type: frozen dataclass whose docstring describes its fields.
        skip: fields without an option.
        notes: field → sentence that is added to its help.
    """
    hints, help_texts = get_type_hints(settings_type), field_help(settings_type)
    options = []
    for field in fields(settings_type):
        if field.name in skip:
            continue
        default = field.default if field.default is not MISSING else None
        default_text = "" if default in (None, "", ()) else f"  [default: {_as_text(default)}]"
        note = f" {notes[field.name]}" if notes and field.name in notes else ""
        option = "--" + field.name.replace("_", "-")
        options.append(
            click.option(
                f"{option}/--no-{option[2:]}" if hints[field.name] is bool else option,
                field.name,
                help=help_texts[field.name] + note + default_text,
                **_option_type(hints[field.name]),
            )
        )
    return options


def _as_text(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _option_type(hint: Any) -> dict[str, Any]:
    """Return the arguments of ``click.option`` for a type."""
    if get_origin(hint) in (Union, types.UnionType):
        return _option_type(next(part for part in get_args(hint) if part is not type(None)))
    if get_origin(hint) is Literal:
        return {"type": click.Choice(get_args(hint))}
    if get_origin(hint) is tuple:
        item, *others = get_args(hint)
        numbers = listed_numbers if others == [...] else number_tuple
        callback = {int: listed_integers, float: numbers}.get(item, listed)
        return {
            "multiple": True,
            "callback": callback,
            "metavar": {int: "N,…", float: "X,…"}.get(item, "NAME,…"),
        }
    if hint is bool:
        return {"default": None}
    return {"type": hint, "metavar": {int: "N", float: "X", str: "NAME"}[hint]}


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class GroupedCommand(click.Command):
    """A command whose help lists options under the headings that ``under`` gave them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per heading, in the order of the first option of each."""
        sections: dict[str, list[tuple[str, str]]] = {}
        heading = "Options"
        for param in self.get_params(ctx):
            heading = getattr(param, "heading", heading)  # --help comes last and has no heading of its own
            if (record := param.get_help_record(ctx)) is not None:
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def under(heading: str, *decorators: Decorator) -> Decorator:
    """Return a decorator that adds options under a heading of the help, in the given order.

    Args:
        heading: heading of the options that do not have one yet.
        decorators: decorators that add options, such as those of ``click.option``.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
            for param in getattr(function, "__click_params__", ()):
                if not hasattr(param, "heading"):
                    param.heading = heading
        return function

    return decorate


def with_options(
    *settings_types: type, skip: tuple[str, ...] = (), notes: Mapping[str, str] | None = None
) -> Decorator:
    """Return a decorator that adds the options of all settings; an option that several settings have appears once.

    Its help is that of the first settings; ``notes`` adds what differs in later ones.
    """
    merged: dict[str, Decorator] = {}
    for settings_type in settings_types:
        names = [field.name for field in fields(settings_type) if field.name not in skip]
        for name, option in zip(names, options_of(settings_type, skip=skip, notes=notes), strict=True):
            merged.setdefault(name, option)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(merged.values()):
            function = option(function)
        return function

    return decorate


def grouped_options(
    settings_type: type, groups: Mapping[str, tuple[str, ...]], *, notes: Mapping[str, str] | None = None
) -> Decorator:
    """Return a decorator that adds the options of settings under several headings.

    Args:
        settings_type: frozen dataclass whose docstring describes its fields.
        groups: heading → names of its fields; ``OTHER`` stands for all fields that no other heading names.
        notes: field → sentence that is added to its help.

    Raises: ValueError: if a name is no field, or a field is in no group.
    """
    names = {field.name for field in fields(settings_type)}
    named = {name for group in groups.values() for name in group if name != OTHER}
    if named - names or (names - named and (OTHER,) not in groups.values()):
        raise ValueError(f"{settings_type.__name__}: these are not fields, or have no heading: {sorted(named ^ names)}")
    parts = []
    for heading, group in groups.items():
        own = names - named if group == (OTHER,) else set(group)
        parts.append(under(heading, with_options(settings_type, skip=tuple(names - own), notes=notes)))
    return under("", *parts)


EXTRACTION = {
    "Features": ("layers", "pooling", "size", "variant", "dtype"),
    "Hardware and errors of extraction": ("...",),
}
"""Headings of the fields of ``ExtractSettings``."""

OTHER = "..."
"""In ``grouped_options``, stands for all other fields."""


def shared_fields(*settings_types: type) -> set[str]:
    """Return the names of the fields that all settings have, and that one option can therefore serve.

    Raises: ValueError: if such a field has different choices, of which the option would accept only some.
    """
    shared = set.intersection(*({field.name for field in fields(one)} for one in settings_types))
    for name in sorted(shared):
        hints = [get_type_hints(one)[name] for one in settings_types]
        if len({get_args(hint) for hint in hints if get_origin(hint) is Literal}) > 1:
            raise ValueError(f"The settings {name} have different choices. Give one of them another name.")
    return shared


def protocol_options(probes: Mapping[str, Any], *, skip: tuple[str, ...] = ()) -> Decorator:
    """Return a decorator that adds the options of each protocol under a heading of its own.

    Args:
        probes: name of the protocol → its probe.
        skip: fields without an option.

    Raises: PluginError: if two protocols have different settings of the same name.
    """
    owners: dict[str, tuple[str, tuple[Any, ...]]] = {}
    parts = []
    for protocol, probe in probes.items():
        settings_type = probe.settings_type
        hints, help_texts = get_type_hints(settings_type), field_help(settings_type)
        shared = []
        for field in fields(settings_type):
            meaning = hints[field.name], field.default, help_texts.get(field.name)
            owner, known = owners.setdefault(field.name, (protocol, meaning))
            if known != meaning:
                raise PluginError(
                    f"The protocols {owner} and {protocol} both have a setting {field.name}, with different types, "
                    "defaults or descriptions. Rename one of them."
                )
            shared += [field.name] if owner != protocol else []
        parts.append(under(protocol_heading(protocol), with_options(settings_type, skip=(*skip, *shared))))
    return under("", *parts)


def protocol_heading(protocol: str) -> str:
    """Return the heading of the options of a protocol."""
    return f"Options of --protocol {protocol}"


def given(settings_type: type, options: dict[str, Any]) -> dict[str, Any]:
    """Return the given options that are fields of these settings; an empty list counts as not given."""
    names = {field.name for field in fields(settings_type)}
    return {name: value for name, value in options.items() if name in names and value not in (None, ())}
