"""Options that are generated from settings: name, type, default and help come from the frozen dataclass."""

import inspect
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

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


def with_options(
    *settings_types: type, skip: tuple[str, ...] = (), notes: Mapping[str, str] | None = None
) -> Callable[..., Any]:
    """Decorate a command with the options of all settings; an option that several settings have appears once.

    Its help is that of the first settings; ``notes`` adds what differs in later ones.
    """
    merged: dict[str, Callable[..., Any]] = {}
    for settings_type in settings_types:
        names = [field.name for field in fields(settings_type) if field.name not in skip]
        for name, option in zip(names, options_of(settings_type, skip=skip, notes=notes), strict=True):
            merged.setdefault(name, option)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(merged.values()):
            function = option(function)
        return function

    return decorate


def given(settings_type: type, options: dict[str, Any]) -> dict[str, Any]:
    """Return the given options that are fields of these settings; an empty list counts as not given."""
    names = {field.name for field in fields(settings_type)}
    return {name: value for name, value in options.items() if name in names and value not in (None, ())}
