"""Weighted sums of losses in the notation of the command line: ``ce + 0.5*selfsupcon``."""

import math
import re
from collections import Counter
from dataclasses import dataclass

from ..core.errors import UsageError
from ..core.registry import unknown_name
from .loss import LOSSES, Term

ALIASES = {"joint": "ce + 0.5*selfsupcon", "joint-supcon": "supcon + 0.5*selfsupcon"}
"""The study's names of its two sums, with the weights of its public code."""

_FORM = "Write names joined by +, each with a positive weight before it if it is not 1: ce + 0.5*selfsupcon"
_PLUS = re.compile(r"(?<!\d[eE])\+")  # except in 1e+3
_TERM = re.compile(r"(?:(?P<weight>[^*]+)\*)?\s*(?P<name>[\w-]+)")


@dataclass(frozen=True)
class Objective:
    """A training objective: a weighted sum of losses.

    Attributes:
        weights: ``(name, weight)`` of each term, in the given order.

    Raises:
        UnknownNameError: if a name is not in ``LOSSES``.
        UsageError: if there is no term, a term occurs twice, or a weight is not a positive, finite number.
    """

    weights: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        if not self.weights:
            raise UsageError(f"A loss needs at least one term. {_FORM}")
        for name, weight in self.weights:
            _require_known(name)
            if not (math.isfinite(weight) and weight > 0):
                raise UsageError(f"The weight of {name} is {weight}, not a positive, finite number. {_FORM}")
        name, times = Counter(name for name, _ in self.weights).most_common(1)[0]
        if times > 1:
            raise UsageError(f"{name} occurs in the loss {times} times: add up its weights. {_FORM}")

    def __str__(self) -> str:
        return " + ".join(name if weight == 1 else f"{weight!r}*{name}" for name, weight in self.weights)

    @property
    def terms(self) -> dict[str, Term]:
        """Terms by name, in the given order."""
        return {name: LOSSES[name] for name, _ in self.weights}

    @property
    def views(self) -> int:
        """Number of augmented views that it needs per image."""
        return max(term.views for term in self.terms.values())

    @property
    def strong_augmentation(self) -> bool:
        """True if Islam et al. train a term on views with colour jitter, grayscale and blur."""
        return any(term.strong_augmentation for term in self.terms.values())

    @property
    def supervised(self) -> str | None:
        """Name of the first term that needs a class for every image, or None."""
        return next((name for name, term in self.terms.items() if term.labels), None)


def parse_loss(spec: str) -> Objective:
    """Parse the objective ``spec``: a loss, an alias, or a weighted sum of losses.

    >>> str(parse_loss("joint"))
    'ce + 0.5*selfsupcon'

    Raises:
        UnknownNameError: if a name is unknown, with the nearest known one.
        UsageError: if the notation or a weight is invalid; see ``Objective``.
    """
    spec = ALIASES.get(spec.strip(), spec)
    if not spec.strip():
        raise UsageError(f"A loss needs at least one term. {_FORM}")
    return Objective(tuple(_parse_term(part.strip(), spec) for part in _PLUS.split(spec)))


def _parse_term(part: str, spec: str) -> tuple[str, float]:
    """Return name and weight of a term such as ``0.5*selfsupcon``."""
    match = _TERM.fullmatch(part)
    if match is None:
        raise UsageError(f"The loss {spec!r} cannot be read at {part!r}. {_FORM}")
    name, weight = match["name"], match["weight"]
    try:
        return name, 1.0 if weight is None else float(weight)
    except ValueError as error:
        raise UsageError(f"The loss {spec!r} has {weight.strip()!r} in place of a number. {_FORM}") from error


def _require_known(name: str) -> None:
    if name in ALIASES:
        raise UsageError(f"{name} is the name of a sum; inside another sum, write it out: {ALIASES[name]}")
    if name not in LOSSES:
        raise unknown_name("loss", name, [*LOSSES, *ALIASES])
