"""A weighted sum of losses, as it is written on the command line: ``ce + 0.5*selfsupcon``."""

import math
import re
from collections import Counter
from dataclasses import dataclass

from ..core.errors import UsageError
from ..core.registry import unknown_name
from .loss import LOSSES, Term

ALIASES = {"joint": "ce + 0.5*selfsupcon", "joint-supcon": "supcon + 0.5*selfsupcon"}
"""The study's names for its two sums, and the weights of its public code."""

_FORM = "Write names joined by +, each with a positive weight before it if it is not 1: ce + 0.5*selfsupcon"
_PLUS = re.compile(r"(?<!\d[eE])\+")  # but not that of 1e+3
_TERM = re.compile(r"(?:(?P<weight>[^*]+)\*)?\s*(?P<name>[\w-]+)")


@dataclass(frozen=True)
class Objective:
    """What to train for.

    Attributes:
        weights: ``(name, weight)`` of each term, in the order they were written.

    Raises:
        UnknownNameError: if a name is not in ``LOSSES``.
        UsageError: if there is no term, one twice, or a weight that is not a positive, finite number.
    """

    weights: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        if not self.weights:
            raise UsageError(f"A loss needs at least one term. {_FORM}")
        for name, weight in self.weights:
            _known(name)
            if not (math.isfinite(weight) and weight > 0):
                raise UsageError(f"The weight of {name} is {weight}, not a positive, finite number. {_FORM}")
        name, times = Counter(name for name, _ in self.weights).most_common(1)[0]
        if times > 1:
            raise UsageError(f"{name} stands in the loss {times} times: add the weights up. {_FORM}")

    def __str__(self) -> str:
        return " + ".join(name if weight == 1 else f"{weight!r}*{name}" for name, weight in self.weights)

    @property
    def terms(self) -> dict[str, Term]:
        """By name, in the order they were written."""
        return {name: LOSSES[name] for name, _ in self.weights}

    @property
    def views(self) -> int:
        """How many augmented views of each image it needs."""
        return max(term.views for term in self.terms.values())

    @property
    def strong_augmentation(self) -> bool:
        """Whether the study trains it on views with colour jitter, grayscale and blur."""
        return any(term.strong_augmentation for term in self.terms.values())

    @property
    def supervised(self) -> str | None:
        """The name of the first term that needs a class for every image, if there is one."""
        return next((name for name, term in self.terms.items() if term.labels), None)


def parse_loss(spec: str) -> Objective:
    """The objective that ``spec`` names: a loss, an alias, or a weighted sum of losses.

    >>> str(parse_loss("joint"))
    'ce + 0.5*selfsupcon'

    Raises:
        UnknownNameError: if a name is unknown, with the nearest known one.
        UsageError: if it cannot be read, or not be meant; see ``Objective``.
    """
    spec = ALIASES.get(spec.strip(), spec)
    if not spec.strip():
        raise UsageError(f"A loss needs at least one term. {_FORM}")
    return Objective(tuple(_weighted(part.strip(), spec) for part in _PLUS.split(spec)))


def _weighted(part: str, spec: str) -> tuple[str, float]:
    """Name and weight of ``0.5*selfsupcon``."""
    match = _TERM.fullmatch(part)
    if match is None:
        raise UsageError(f"The loss {spec!r} cannot be read at {part!r}. {_FORM}")
    name, weight = match["name"], match["weight"]
    try:
        return name, 1.0 if weight is None else float(weight)
    except ValueError as error:
        raise UsageError(f"The loss {spec!r} has {weight.strip()!r} where a number belongs. {_FORM}") from error


def _known(name: str) -> None:
    if name in ALIASES:
        raise UsageError(f"{name} stands for a sum; inside another, write it out: {ALIASES[name]}")
    if name not in LOSSES:
        raise unknown_name("loss", name, [*LOSSES, *ALIASES])
