"""Strict reading of tables of a TOML file: each error names the file, the table and the key."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from itertools import product
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..core.errors import TransferkitError, UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """One table of a file.

    Attributes:
        where: file and table, for error messages.
        values: key → TOML value.
    """

    where: str
    values: Mapping[str, Any]

    def refuse(self, problem: str) -> UsageError:
        """Return an error about this table."""
        return UsageError(f"{self.where}: {problem}")

    def require_known(self, *known: str) -> None:
        """Refuse unknown keys, with the closest known one.

        Raises: UsageError
        """
        for key in self.values:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Choose from: {', '.join(known)}."
                raise self.refuse(f"no key is named {key!r}. {hint}")

    def get(self, key: str, hint: Any, default: T) -> T:
        """Return the value of ``key``, checked against the type ``hint``, or ``default``.

        Raises: UsageError: for another type, or an empty list.
        """
        return self.typed(key, self.values[key], hint) if key in self.values else default

    def typed(self, key: str, value: Any, hint: Any) -> Any:
        """Return ``value`` with the type ``hint``; a single value becomes a tuple of one, an integer a float.

        Raises: UsageError: with the key and the allowed types.
        """
        if get_origin(hint) is tuple:
            return tuple(self._several(key, value if isinstance(value, list) else [value], get_args(hint)[0]))
        kinds = [kind for kind in _kinds(hint) if kind is not type(None)]
        for kind in kinds:
            if get_origin(kind) is Literal and value in get_args(kind):
                return value
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                return float(value)
            if isinstance(kind, type) and isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
                return value
        raise self.refuse(f"{key} = {_toml(value)} has the wrong type: give {_described(kinds)}.")

    def _several(self, key: str, values: list[Any], hint: Any) -> list[Any]:
        if not values:
            raise self.refuse(f"{key} is an empty list: give at least one value, or leave the key out.")
        return [self.typed(key, one, hint) for one in values]

    def tables(self, key: str) -> list["Table"]:
        """Return the tables ``[[key]]``, numbered from 1 in their error messages.

        Raises: UsageError: if ``key`` is not a list of tables.
        """
        found = self.values.get(key, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.refuse(f"{key} = {_toml(found)} has the wrong type: write tables, [[{key}]].")
        return [Table(f"{self.where} [[{key}]] {number}", one) for number, one in enumerate(found, 1)]

    def variants(self, settings_type: type, *others: str) -> Iterator[dict[str, Any]]:
        """Yield the fields of ``settings_type`` in the table; lists of values yield all combinations.

        Args:
            settings_type: a frozen dataclass of settings.
            others: further keys that the table may have.

        Raises: UsageError: for an unknown key or a wrong type.
        """
        hints = get_type_hints(settings_type)
        names = [field.name for field in fields(settings_type)]
        self.require_known(*others, *names)
        given = [name for name in names if name in self.values and name not in others]
        choices = []
        for name in given:
            value, hint = self.values[name], hints[name]
            if get_origin(hint) is tuple or not isinstance(value, list):
                choices.append([self.typed(name, value, hint)])
            else:
                choices.append(self._several(name, value, hint))
        for chosen in product(*choices):
            yield dict(zip(given, chosen, strict=True))

    def settled(self, make: Any, *values: Any, **named: Any) -> Any:
        """Return ``make(*values, **named)``; its errors are prefixed with the file and this table.

        Raises: UsageError
        """
        try:
            return make(*values, **named)
        except TransferkitError as error:
            raise self.refuse(str(error)) from error


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _described(kinds: list[Any]) -> str:
    words = {
        int: "a whole number",
        float: "a number",
        str: "a text in quotes",
        bool: "true or false",
        dict: "tables",
    }
    named = [
        "one of " + ", ".join(map(str, get_args(kind))) if get_origin(kind) is Literal else words[kind]
        for kind in kinds
    ]
    return " or ".join(named)


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if value in (True, False) else str(value)
