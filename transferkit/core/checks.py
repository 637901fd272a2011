"""Checks that settings have in common: a field's value against those it may have, or against its limits."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import UsageError


def option_name(field: str) -> str:
    """How a field is written on the command line.

    >>> option_name("weight_decay")
    '--weight-decay'
    """
    return f"--{field.replace('_', '-')}"


def require_choices(settings: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Refuse a value that is none of those its field may have.

    Args:
        settings: has the fields.
        choices: field → what it may be.

    Raises: UsageError: naming the option, its value and the choices.
    """
    for name, known in choices.items():
        if getattr(settings, name) not in known:
            raise UsageError(
                f"{option_name(name)} {getattr(settings, name)!r} is unknown. Choose from: {', '.join(known)}."
            )


def require_limits(settings: Any, limits: Mapping[str, tuple[float, float]]) -> None:
    """Refuse a number, or one of several, outside its field's limits; NaN lies outside any.

    Args:
        settings: has the fields: numbers, or tuples of numbers.
        limits: field → lowest and highest.

    Raises: UsageError: naming the option, its value and the limits.
    """
    for name, (lowest, highest) in limits.items():
        value = getattr(settings, name)
        for one in value if isinstance(value, tuple) else (value,):
            if not lowest <= one <= highest:
                most = "" if math.isinf(highest) else f" and at most {highest:g}"
                raise UsageError(f"{option_name(name)} {one:g} cannot be meant: give {lowest:g} or more{most}.")
