"""Options made from settings: names, types, defaults and help are read from the frozen dataclass."""

import inspect
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from .session import listed, listed_integers, listed_numbers, number_tuple


def described(settings_type: type) -> dict[str, str]:
    """Field → what its line under ``Attributes:`` says, as one sentence."""
    text = inspect.getdoc(settings_type) or ""
    _, _, attributes = text.partition("Attributes:\n")
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", attributes, flags=re.MULTILINE)
    return {name: _sentence(re.sub(r"\s+", " ", words)) for name, words in entries}


def _sentence(words: str) -> str:
    first = words[0] if words.startswith("`") else words[0].upper()  # a literal is typed as it is written
    return (first + words[1:]).replace("``", "").strip().rstrip(".") + "."


def options_of(
    settings_type: type, *, skip: tuple[str, ...] = (), notes: Mapping[str, str] | None = None
) -> list[Callable[..., Any]]:
    """One Click option a field; what the user leaves out is None, so that defaults stay with the settings.

    Args:
        settings_type: a frozen dataclass whose docstring describes its fields.
        skip: fields without an option.
        notes: field → a sentence that its help has besides.
    """
    hints, help_texts = get_type_hints(settings_type), described(settings_type)
    options = []
    for field in fields(settings_type):
        if field.name in skip:
            continue
        default = field.default if field.default is not MISSING else None
        shown = "" if default in (None, "", ()) else f"  [default: {_shown(default)}]"
        noted = f" {notes[field.name]}" if notes and field.name in notes else ""
        option = "--" + field.name.replace("_", "-")
        options.append(
            click.option(
                f"{option}/--no-{option[2:]}" if hints[field.name] is bool else option,
                field.name,
                help=help_texts[field.name] + noted + shown,
                **_kind(hints[field.name]),
            )
        )
    return options


def _shown(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _kind(hint: Any) -> dict[str, Any]:
    """Click's words for a type."""
    if get_origin(hint) in (Union, types.UnionType):
        return _kind(next(part for part in get_args(hint) if part is not type(None)))
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
    """Decorate a command with the options of all these settings; a name they share appears once.

    What is said of it is what the first says; ``notes`` tell, by name, what is otherwise with a later one.
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
    """The options that the user gave and these settings have; an empty list counts as not given."""
    names = {field.name for field in fields(settings_type)}
    return {name: value for name, value in options.items() if name in names and value not in (None, ())}
