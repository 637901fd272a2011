"""Numbers of correct predictions per test row or episode, by which two models are compared on the same units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError, ShapeError
from .files import digest_of
from .groups import Groups, group_numbers

Unit = Literal["rows", "episodes"]


@dataclass(frozen=True)
class Outcomes:
    """Number of correct predictions of each unit, a test row or an episode.

    Attributes:
        unit: ``rows`` or ``episodes``.
        of: digest of the units' names in order; equal digests are equal units in equal order.
        predictions: number of predictions per unit: 1 for a row that is scored once, ways × queries for an episode.
        correct: number of correct predictions of each unit, ``0 … predictions``; rows of a group are contiguous.
        sizes: number of rows of each group, in order; empty if each row, or each episode, is its own group.
        draws: number of correct predictions over all rows for each random choice of the training images, where the rows
            were scored several times; ``predictions`` is the number of choices.
        halves: for each random halving of the images, four numbers of correct predictions, ``0 … half_predictions``:
            of two batches of episodes of the first half, and two of the second half. Empty for rows, and if a class
            cannot be halved.
        half_predictions: number of predictions of one batch.
    """

    unit: Unit
    of: str
    predictions: int
    correct: tuple[int, ...]
    sizes: tuple[int, ...] = ()
    draws: tuple[int, ...] = ()
    halves: tuple[tuple[int, ...], ...] = ()
    half_predictions: int = 0

    def __post_init__(self) -> None:
        if self.unit not in ("rows", "episodes"):
            raise ShapeError(f"The unit of outcomes is {self.unit!r}, but must be 'rows' or 'episodes'.")
        if self.predictions < 1 or not self.correct:
            raise ShapeError(
                f"{len(self.correct)} {self.unit} with {self.predictions} predictions each have no outcome: "
                "at least one unit with at least one prediction is needed."
            )
        if not 0 <= min(self.correct) <= max(self.correct) <= self.predictions:
            raise ShapeError(
                f"Numbers of correct predictions must be in 0 … {self.predictions}, "
                f"not in {min(self.correct)} … {max(self.correct)}."
            )
        if any(len(halving) != 4 for halving in self.halves):
            raise ShapeError("A halving needs four numbers of correct predictions: two batches of each half.")
        counts = [count for halving in self.halves for count in halving]
        if counts and not 0 <= min(counts) <= max(counts) <= self.half_predictions:
            raise ShapeError(
                f"Numbers of correct predictions of a half must be in 0 … {self.half_predictions}, "
                f"not in {min(counts)} … {max(counts)}."
            )
        if self.sizes and (min(self.sizes) < 1 or sum(self.sizes) != len(self.correct)):
            raise ShapeError(
                f"The sizes of the groups sum to {sum(self.sizes)}, with a minimum of {min(self.sizes)}: they must "
                f"sum to the {len(self.correct)} rows, and each must be at least 1."
            )
        if self.draws and (len(self.draws) != self.predictions or sum(self.draws) != sum(self.correct)):
            raise ShapeError(
                f"{len(self.draws)} draws have {sum(self.draws)} correct predictions; needed are {self.predictions}, "
                f"one per prediction, with the {sum(self.correct)} correct predictions of the rows."
            )

    def __len__(self) -> int:
        return len(self.correct)

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """Fraction of correct predictions of each unit, ``[n]``."""
        return np.array(self.correct, dtype=np.float64) / self.predictions

    @property
    def half_accuracies(self) -> NDArray[np.float64] | None:
        """Accuracies of both batches of both halves of each halving, ``[b, 2, 2]``; None without halves."""
        if not self.halves:
            return None
        return np.array(self.halves, dtype=np.float64).reshape(-1, 2, 2) / self.half_predictions

    def to_json(self) -> dict[str, Any]:
        """Return plain values; ``correct`` is a string of ``0`` and ``1`` for single predictions, else a list."""
        correct = "".join(map(str, self.correct)) if self.predictions == 1 else list(self.correct)
        plain: dict[str, Any] = {"unit": self.unit, "of": self.of, "predictions": self.predictions, "correct": correct}
        if self.sizes:
            plain["sizes"] = list(self.sizes)
        if self.draws:
            plain["draws"] = list(self.draws)
        if self.halves:
            plain |= {"halves": [list(halving) for halving in self.halves], "half_predictions": self.half_predictions}
        return plain

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Outcomes":
        """Return the outcomes that ``to_json`` converted."""
        lists = {name: tuple(map(int, value.get(name, ()))) for name in ("correct", "sizes", "draws")}  # "01" → (0, 1)
        halves = tuple(tuple(map(int, halving)) for halving in value.get("halves", ()))
        return cls(**{**value, **lists, "halves": halves})


def row_outcomes(
    ids: Sequence[str],
    correct: ArrayLike,
    *,
    predictions: int = 1,
    groups: Groups = None,
    draws: Sequence[int] = (),
) -> Outcomes:
    """Return the outcomes of test rows.

    Rows with groups are sorted by group, in the order in which the groups first appear, so that a record needs
    only one number per group, its size.

    Args:
        ids: ``[n]`` names of the rows, in order.
        correct: ``[n]`` of 0 and 1 or booleans; counts if ``predictions`` is above 1.
        predictions: number of predictions per row, one per draw.
        groups: ``[n]`` names of the groups; None if each row is its own group.
        draws: number of correct predictions of each draw, if there are several.

    Raises: ShapeError: if the number of outcomes or groups is not that of the names, or a value is out of range.
    """
    counts, names = np.asarray(correct), list(ids)
    sizes: tuple[int, ...] = ()
    if counts.shape != (len(ids),):
        raise ShapeError(f"{len(ids)} rows need outcomes [{len(ids)}], not {list(counts.shape)}.")
    digest = digest_of(names)
    if groups is not None:
        if len(groups) != len(ids):
            raise ShapeError(f"{len(ids)} rows need as many groups, not {len(groups)}.")
        numbers = group_numbers(groups)[1]
        order = np.argsort(numbers, kind="stable")
        sizes = tuple(np.bincount(numbers).tolist())
        counts, names = counts[order], [names[row] for row in order.tolist()]
        digest = digest_of([names, list(sizes)])
    return Outcomes("rows", digest, predictions, tuple(map(int, counts.tolist())), sizes, tuple(draws))


def episode_outcomes(
    digest: str, correct: ArrayLike, *, predictions: int, halves: ArrayLike | None = None, half_predictions: int = 0
) -> Outcomes:
    """Return the outcomes of few-shot episodes.

    Args:
        digest: digest of the rows and the order of all episodes.
        correct: ``[e]`` number of correct predictions of each episode.
        predictions: number of queries of one episode, over all its classes.
        halves: ``[b, 2, 2]`` number of correct predictions of two batches for both halves of each halving; None if the
            images are not halved.
        half_predictions: number of queries of all episodes of one batch.

    Raises: ShapeError: if ``correct`` is not ``[e]`` or ``halves`` not ``[b, 2, 2]``, or one is out of range.
    """
    counts = np.asarray(correct)
    if counts.ndim != 1:
        raise ShapeError(f"Episodes need outcomes [e], not {list(counts.shape)}.")
    counts_of_halves = np.zeros((0, 2, 2), dtype=np.int64) if halves is None else np.asarray(halves)
    if counts_of_halves.shape[1:] != (2, 2):
        raise ShapeError(f"Halves need outcomes [b, 2, 2], not {list(counts_of_halves.shape)}.")
    return Outcomes(
        "episodes",
        digest,
        predictions,
        tuple(map(int, counts.tolist())),
        halves=tuple(tuple(map(int, halving)) for halving in counts_of_halves.reshape(-1, 4).tolist()),
        half_predictions=half_predictions,
    )


def require_same_units(a: Outcomes, b: Outcomes) -> None:
    """Raise an error if two outcomes are not for the same units.

    Raises: DataError: if they are not; the message states the difference.
    """
    if a.unit != b.unit:
        raise DataError(f"One model was scored on {a.unit} and the other on {b.unit}.")
    if len(a) != len(b) or a.predictions != b.predictions:
        raise DataError(
            f"One model was scored on {len(a)} {a.unit} of {a.predictions} predictions, "
            f"the other on {len(b)} of {b.predictions}."
        )
    if (len(a.halves), a.half_predictions) != (len(b.halves), b.half_predictions):
        raise DataError(
            f"One model was scored on {len(a.halves)} halvings of {a.half_predictions} predictions, "
            f"the other on {len(b.halves)} of {b.half_predictions}."
        )
    if a.of != b.of:
        raise DataError(f"The two models were scored on {len(a)} different {a.unit}, or in a different order.")
