"""Base class of all settings: frozen dataclasses that check their values by their type hints.

A number, text, bool or tuple must have the type of its field; a float may be given as an integer. A field of type
``Literal`` accepts only its choices, and ``Annotated`` adds rules: ``Annotated[float, Limits(0, 1)]`` accepts numbers
from 0 to 1. All of this applies to each item of a tuple too, and None is accepted where the hint has it.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Annotated, Any, ClassVar, Literal, Protocol, get_args, get_origin

from .errors import UsageError
from .json_dataclass import JsonDataclass, field_hints, from_plain, item_hints, without_none


class Rule(Protocol):
    """A rule of ``Annotated`` that a value of a setting follows."""

    def problem(self, value: Any) -> str:
        """Return what is wrong with ``value`` and what is allowed, as the end of a message; empty if it is allowed."""


@dataclass(frozen=True)
class Limits:
    """Limits of a number; NaN and infinity are outside of all limits.

    Attributes:
        lowest: lowest allowed number.
        highest: highest allowed number.
        above: True if numbers must be above ``lowest``, not equal to it.
    """

    lowest: float
    highest: float = math.inf
    above: bool = False

    def problem(self, value: Any) -> str:
        """Return which numbers are allowed instead of ``value``; empty if it is allowed."""
        finite = isinstance(value, Real) and math.isfinite(value)
        if finite and self.lowest <= value <= self.highest and not (self.above and value == self.lowest):
            return ""
        lower = f"more than {self.lowest}" if self.above else f"{self.lowest} or more"
        upper = "" if math.isinf(self.highest) else f" and at most {self.highest}"
        return f"is invalid: give {'' if finite else 'a finite number, '}{lower}{upper}."


@dataclass(frozen=True)
class OneOf:
    """Allowed values of a setting whose type cannot be ``Literal``.

    Attributes:
        choices: allowed values.
    """

    choices: tuple[Any, ...]

    def problem(self, value: Any) -> str:
        """Return the choices, with the closest one to ``value`` first; empty if it is a choice."""
        if value in self.choices:
            return ""
        known = [str(choice) for choice in self.choices]
        near = get_close_matches(str(value), known, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return f"is unknown. {hint}Choose from: {', '.join(known)}."


@dataclass(frozen=True)
class NonEmpty:
    """The rule that a tuple has at least one item."""

    def problem(self, value: Any) -> str:
        """Return what is wrong with an empty tuple; an empty text if it has an item."""
        return "" if value else "is empty: give at least one value."


PositiveInt = Annotated[int, Limits(1)]
NonNegativeInt = Annotated[int, Limits(0)]
PositiveFloat = Annotated[float, Limits(0, above=True)]
NonNegativeFloat = Annotated[float, Limits(0)]
Fraction = Annotated[float, Limits(0, 1)]
Seed = Annotated[int, Limits(0, 2**63 - 1)]


class Settings(JsonDataclass):
    """Base class of settings, which are frozen dataclasses.

    Lists become tuples where the type is a tuple, so that settings can be made from JSON. Errors name a field as its
    command-line option; with the class argument ``command_line=False``, as its Python name.

    Raises: UsageError: if a value is not allowed; the message names the setting, the value and what is allowed.
    """

    _command_line: ClassVar[bool] = True

    def __init_subclass__(cls, *, command_line: bool = True) -> None:
        super().__init_subclass__()
        cls._command_line = command_line

    def __post_init__(self) -> None:
        for name, hint in field_hints(type(self)).items():
            value = getattr(self, name)
            with suppress(TypeError):  # a value of another type is refused below
                value = from_plain(value, hint)
            object.__setattr__(self, name, value)  # the dataclass is frozen
            _require_allowed(option_name(name) if self._command_line else f"{name} =", value, hint)
        self.check()

    def check(self) -> None:
        """Check the rules between fields; subclasses with such rules override it.

        Raises: UsageError: if two settings contradict each other.
        """


def option_name(field: str) -> str:
    """Return the command-line option of a field.

    >>> option_name("weight_decay")
    '--weight-decay'
    """
    return f"--{field.replace('_', '-')}"


def _require_allowed(label: str, value: Any, hint: Any) -> None:
    """Raise an error if ``value``, or an item of a tuple, breaks a rule of its type hint."""
    kind = without_none(hint)
    if value is None and kind is not hint:
        return
    rules: list[Rule] = []
    if get_origin(kind) is Annotated:
        kind, *rules = get_args(kind)
    if get_origin(kind) is Literal:
        rules = [*rules, OneOf(get_args(kind))]
    problems = [*(rule.problem(value) for rule in rules), _type_problem(value, kind)]
    if problem := next(filter(None, problems), ""):
        raise UsageError(f"{label} {_as_text(value)} {problem}")
    if get_origin(kind) is tuple:
        for item, item_hint in zip(value, item_hints(kind), strict=False):
            _require_allowed(label, item, item_hint)


_TYPES: dict[Any, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (Integral, "an integer"),
    float: (Real, "a number"),
    str: (str, "text"),
}


def _type_problem(value: Any, kind: Any) -> str:
    """Return what is wrong with the type of ``value``, as the end of a message; empty if nothing is."""
    if kind in _TYPES:
        expected, words = _TYPES[kind]
        fits = isinstance(value, expected) and (kind is bool or not isinstance(value, bool))
        return "" if fits else f"is invalid: give {words}."
    if get_origin(kind) is tuple:
        items = get_args(kind)
        count = None if items[-1] is ... else len(items)
        if not isinstance(value, tuple) or (count is not None and len(value) != count):
            return f"is invalid: give {'several values' if count is None else f'{count} values'}."
    return ""


def _as_text(value: Any) -> str:
    if isinstance(value, tuple) and value:
        return ",".join(map(_as_text, value))
    return f"{value:g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)
