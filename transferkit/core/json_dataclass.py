"""Conversion of dataclasses to plain values for JSON, and back."""

import types
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields, is_dataclass
from functools import cache
from itertools import chain, repeat
from typing import Annotated, Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints


class JsonDataclass:
    """Base class of dataclasses that are stored as JSON; subclasses with another form override the methods."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the object that ``to_json`` converted: lists become tuples, and dicts of fields their dataclasses.

        Raises: TypeError: if a field is missing or unknown, or ``value`` is not a mapping.
        """
        hints = field_hints(cls)
        return cls(
            **{name: from_plain(one, hints.get(name)) for name, one in {**value}.items()}
        )  # ** refuses other types


def to_plain(value: Any) -> Any:
    """Return a copy of ``value`` in which dataclasses are dicts of all their fields, and tuples are lists.

    >>> to_plain({"layers": ("layer3", "layer4")})
    {'layers': ['layer3', 'layer4']}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: to_plain(item) for name, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def from_plain(value: Any, hint: Any) -> Any:
    """Return a plain value as the type ``hint``: lists become tuples, and dicts become dataclasses.

    Raises: TypeError: if ``hint`` is a tuple or a dataclass, and ``value`` cannot become one.

    >>> from_plain([1, 2], tuple[int, ...])
    (1, 2)
    """
    kind = without_none(hint.__origin__ if get_origin(hint) is Annotated else hint)
    if kind is not hint:
        return from_plain(value, kind)
    if get_origin(kind) is tuple and not isinstance(value, (tuple, str, types.NoneType)):
        return tuple(from_plain(item, item_hint) for item, item_hint in zip(value, item_hints(kind), strict=False))
    if isinstance(kind, type) and issubclass(kind, JsonDataclass) and not isinstance(value, (kind, types.NoneType)):
        return kind.from_json(value)
    return value


def field_hints(dataclass: Any) -> dict[str, Any]:
    """Return the type hint of each field, with the rules of ``Annotated``."""
    return _cached_hints(dataclass)  # a cached function itself does not accept classes, for a type checker


@cache
def _cached_hints(dataclass: Any) -> dict[str, Any]:
    hints = get_type_hints(dataclass, include_extras=True)
    return {field.name: hints[field.name] for field in fields(dataclass)}


def without_none(hint: Any) -> Any:
    """Return the type ``X`` of a hint ``X | None``, and other hints unchanged."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not types.NoneType]
    return kinds[0] if len(kinds) == 1 else hint


def item_hints(hint: Any) -> Iterable[Any]:
    """Return the type hint of each item of a tuple, an infinite iterable: ``zip`` ends it with the tuple."""
    first, *others = get_args(hint)
    return repeat(first) if others == [...] else chain((first, *others), repeat(Any))
