"""Options that are generated from settings: name, type, default and help come from the frozen dataclass."""

import inspect
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from transferkit.core.errors import PluginError

from .help import Decorator, under
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


def with_default(sentence: str, default: str, *, note: str = "") -> str:
    """Return the help of an option: a sentence, and its default as the last part.

    Args:
        sentence: description; if it ends with ``; by default …``, it states the default itself.
        default: text of the default unless the sentence states one; empty for none.
        note: further sentence, which begins with a space.

    >>> with_default("Learning rate; by default 0.01 for prior.", "")
    'Learning rate.  [default: 0.01 for prior]'
    """
    text, _, stated = sentence.removesuffix(".").partition("; by default ")
    default = stated or default
    return f"{text}.{note}" + (f"  [default: {default}]" if default else "")


def options_of(
    settings_type: type,
    *,
    skip: tuple[str, ...] = (),
    notes: Mapping[str, str] | None = None,
    replaced: Mapping[str, Decorator] | None = None,
) -> list[Decorator]:
    """Return one Click option per field; an omitted option is None, so that only the settings define defaults.

    Args:
        settings_type: frozen dataclass whose docstring describes its fields.
        skip: fields without an option.
        notes: field → sentence that is added to its help.
        replaced: field → its option, for a field whose option accepts more than the field does.
    """
    hints, help_texts = get_type_hints(settings_type), field_help(settings_type)
    options: list[Decorator] = []
    for field in fields(settings_type):
        if field.name in skip:
            continue
        if replaced and field.name in replaced:
            options.append(replaced[field.name])
            continue
        default = field.default if field.default is not MISSING else None
        default_text = "" if default in (None, "", ()) else _as_text(default)
        note = f" {notes[field.name]}" if notes and field.name in notes else ""
        option = "--" + field.name.replace("_", "-")
        options.append(
            click.option(
                f"{option}/--no-{option[2:]}" if hints[field.name] is bool else option,
                field.name,
                help=with_default(help_texts[field.name], default_text, note=note),
                **_option_type(hints[field.name]),
            )
        )
    return options


def _as_text(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, tuple):
        return ",".join(map(_as_text, default))
    return f"{default:g}".replace("e-0", "e-") if isinstance(default, float) else str(default)


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


def with_options(settings_type: type, **changes: Any) -> Decorator:
    """Return a decorator that adds the options of settings, in the order of the fields.

    Args:
        settings_type: frozen dataclass whose docstring describes its fields.
        changes: arguments of ``options_of``.
    """
    options = options_of(settings_type, **changes)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
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
    "Extraction": ("...",),
}
"""Headings of the fields of ``ExtractSettings``."""

OTHER = "..."
"""In ``grouped_options``, stands for all other fields."""


def shared_fields(first: type, second: type, *, notes: Mapping[str, str]) -> set[str]:
    """Return the names of the fields that both settings have, and that one option can therefore serve.

    Args:
        first: settings whose help and default the option shows.
        second: the other settings.
        notes: field → sentence on what differs in the second settings.

    Raises: ValueError: if such a field has different choices, of which the option would accept only some, or if its
        default or description differs without a note.
    """
    defaults = [{field.name: field.default for field in fields(one)} for one in (first, second)]
    hints, help_texts = [[function(one) for one in (first, second)] for function in (get_type_hints, field_help)]
    shared = defaults[0].keys() & defaults[1].keys()
    for name in sorted(shared):
        if len({get_args(one[name]) for one in hints if get_origin(one[name]) is Literal}) > 1:
            raise ValueError(f"The settings {name} have different choices. Give one of them another name.")
        if name not in notes and any(one[name] != other[name] for one, other in (defaults, help_texts)):
            raise ValueError(f"The settings {name} differ in default or description. Describe it in a note.")
    return shared


def protocol_options(probes: Mapping[str, Any], *, replaced: Mapping[str, Decorator] | None = None) -> Decorator:
    """Return a decorator that adds the options of each protocol under a heading of its own.

    Options that several protocols share have a heading that names them all.

    Args:
        probes: name of the protocol → its probe.
        replaced: field → its option, for a field whose option accepts more than the field does.

    Raises: PluginError: if two protocols have different settings of the same name.
    """
    owners: dict[str, tuple[str, ...]] = {}
    meanings: dict[str, tuple[Any, ...]] = {}
    for protocol, probe in probes.items():
        hints, help_texts = get_type_hints(probe.settings_type), field_help(probe.settings_type)
        for field in fields(probe.settings_type):
            meaning = hints[field.name], field.default, help_texts.get(field.name)
            if meanings.setdefault(field.name, meaning) != meaning:
                raise PluginError(
                    f"The protocols {owners[field.name][0]} and {protocol} both have a setting {field.name}, with "
                    "different types, defaults or descriptions. Rename one of them."
                )
            owners[field.name] = (*owners.get(field.name, ()), protocol)
    parts = []
    for group in dict.fromkeys(owners.values()):
        settings_type = probes[group[0]].settings_type
        skip = tuple(field.name for field in fields(settings_type) if owners[field.name] != group)
        parts.append(under(protocol_heading(*group), with_options(settings_type, skip=skip, replaced=replaced)))
    return under("", *parts)


def protocol_heading(*protocols: str) -> str:
    """Return the heading of the options of a protocol, or of those that several protocols share."""
    return "Options of " + " and ".join(f"--protocol {protocol}" for protocol in protocols)


def given(settings_type: type, options: dict[str, Any]) -> dict[str, Any]:
    """Return the given options that are fields of these settings; an empty list counts as not given."""
    names = {field.name for field in fields(settings_type)}
    return {name: value for name, value in options.items() if name in names and value not in (None, ())}
