"""Checks that several settings share: a field's value against its choices, or against its limits."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import UsageError


def option_name(field: str) -> str:
    """Return the command-line option of a field.

    >>> option_name("weight_decay")
    '--weight-decay'
    """
    return f"--{field.replace('_', '-')}"


def require_choices(settings: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Raise an error if the value of a field is not one of its choices.

    Args:
        settings: object with the fields.
        choices: field → its allowed values.

    Raises: UsageError: if a value is unknown; the message names the option, its value and the choices.
    """
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            raise UsageError(
                f"{option_name(name)} {getattr(settings, name)!r} is unknown. Choose from: {', '.join(allowed)}."
            )


def require_limits(settings: Any, limits: Mapping[str, tuple[float, float]]) -> None:
    """Raise an error if a number, or a number of a tuple, is outside its field's limits; NaN always is.

    Args:
        settings: object with the fields, which are numbers or tuples of numbers.
        limits: field → lowest and highest allowed value.

    Raises: UsageError: if a number is invalid; the message names the option, its value and the limits.
    """
    for name, (lowest, highest) in limits.items():
        value = getattr(settings, name)
        for number in value if isinstance(value, tuple) else (value,):
            if not lowest <= number <= highest:
                upper = "" if math.isinf(highest) else f" and at most {highest:g}"
                raise UsageError(f"{option_name(name)} {number:g} is invalid: give {lowest:g} or more{upper}.")
