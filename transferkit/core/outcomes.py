"""What became of each test row or episode: what lets two models be compared on the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError, ShapeError
from .files import digest_of

Unit = Literal["rows", "episodes"]


@dataclass(frozen=True)
class Outcomes:
    """How many answers were right, unit by unit.

    Attributes:
        unit: ``rows`` or ``episodes``.
        of: digest of the units' names in order; equal digests are equal units in equal order.
        answers: that each unit asks for: 1 of a row scored once, ways x queries of an episode.
        right: of each unit, ``0 … answers``.
    """

    unit: Unit
    of: str
    answers: int
    right: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.unit not in ("rows", "episodes"):
            raise ShapeError(f"Outcomes are of rows or episodes, not of {self.unit!r}.")
        if self.answers < 1 or not self.right:
            raise ShapeError(
                f"{len(self.right)} {self.unit} of {self.answers} answers have no outcome: "
                "at least one of at least one is needed."
            )
        if not 0 <= min(self.right) <= max(self.right) <= self.answers:
            raise ShapeError(
                f"Right answers lie in 0 … {self.answers}, not in {min(self.right)} … {max(self.right)}."
            )

    def __len__(self) -> int:
        return len(self.right)

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """``[n]``, the part of each unit's answers that is right."""
        return np.array(self.right, dtype=np.float64) / self.answers

    def to_json(self) -> dict[str, Any]:
        """Plain values; single answers as a string of ``0`` and ``1``, several as a list."""
        digits = "".join(map(str, self.right))
        right = digits if self.answers == 1 else list(self.right)
        return {"unit": self.unit, "of": self.of, "answers": self.answers, "right": right}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Outcomes":
        """The inverse of ``to_json``."""
        return cls(**{**value, "right": tuple(map(int, value["right"]))})


def row_outcomes(ids: Sequence[str], right: ArrayLike, *, answers: int = 1) -> Outcomes:
    """Outcomes of test rows.

    Args:
        ids: ``[n]`` names of the rows, in order.
        right: ``[n]`` of 0 and 1 or booleans; with ``answers`` above 1, counts.
        answers: how often each row is asked, once a draw.

    Raises: ShapeError: if there are not as many outcomes as names, or they are out of range.
    """
    counts = np.asarray(right)
    if counts.shape != (len(ids),):
        raise ShapeError(f"{len(ids)} rows need outcomes [{len(ids)}], not {list(counts.shape)}.")
    return Outcomes("rows", digest_of(list(ids)), answers, tuple(map(int, counts.tolist())))


def episode_outcomes(digest: str, right: ArrayLike, *, answers: int) -> Outcomes:
    """Outcomes of episodes that are kept as a whole.

    Args:
        digest: of all the episodes: their rows and their order.
        right: ``[e]`` right answers of each.
        answers: queries of one episode, over all its classes.

    Raises: ShapeError: if ``right`` is not ``[e]``, or out of range.
    """
    counts = np.asarray(right)
    if counts.ndim != 1:
        raise ShapeError(f"Episodes need outcomes [e], not {list(counts.shape)}.")
    return Outcomes("episodes", digest, answers, tuple(map(int, counts.tolist())))


def require_same_units(a: Outcomes, b: Outcomes) -> None:
    """Refuse to pair what is not the same.

    Raises: DataError: saying what differs.
    """
    if a.unit != b.unit:
        raise DataError(f"One was scored on {a.unit} and the other on {b.unit}.")
    if len(a) != len(b) or a.answers != b.answers:
        raise DataError(
            f"One was scored on {len(a)} {a.unit} of {a.answers} answers, "
            f"the other on {len(b)} of {b.answers}."
        )
    if a.of != b.of:
        raise DataError(f"The {len(a)} {a.unit} are not the same ones, or not in the same order.")
