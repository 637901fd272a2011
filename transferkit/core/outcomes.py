"""What became of each test row or episode: what lets two models be compared on the same ones."""

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
    """How many answers were right, unit by unit.

    Attributes:
        unit: ``rows`` or ``episodes``.
        of: digest of the units' names in order; equal digests are equal units in equal order.
        answers: that each unit asks for: 1 of a row scored once, ways x queries of an episode.
        right: of each unit, ``0 … answers``; rows of one group stand together.
        sizes: rows of each group, in order; empty where every row, or every episode, is on its own.
        draws: right answers over all rows of each of the ``answers`` draws; empty of a single one.
        halves: of episodes, right answers of further ones, ``0 … half_answers``, for each random halving of
            the images: of two batches of the first half, and of two of the second. Empty for rows, and where
            a class cannot be halved.
        half_answers: answers of one batch.
    """

    unit: Unit
    of: str
    answers: int
    right: tuple[int, ...]
    sizes: tuple[int, ...] = ()
    draws: tuple[int, ...] = ()
    halves: tuple[tuple[int, ...], ...] = ()
    half_answers: int = 0

    def __post_init__(self) -> None:
        if self.unit not in ("rows", "episodes"):
            raise ShapeError(f"Outcomes are of rows or episodes, not of {self.unit!r}.")
        if self.answers < 1 or not self.right:
            raise ShapeError(
                f"{len(self.right)} {self.unit} of {self.answers} answers have no outcome: "
                "at least one of at least one is needed."
            )
        if not 0 <= min(self.right) <= max(self.right) <= self.answers:
            raise ShapeError(f"Right answers lie in 0 … {self.answers}, not in {min(self.right)} … {max(self.right)}.")
        counts = [count for four in self.halves for count in four]
        if counts and not 0 <= min(counts) <= max(counts) <= self.half_answers:
            raise ShapeError(f"Right answers of a half are 0 … {self.half_answers}, not {min(counts)} … {max(counts)}.")
        if self.sizes and (min(self.sizes) < 1 or sum(self.sizes) != len(self.right)):
            raise ShapeError(
                f"Groups of {sum(self.sizes)} rows, the smallest of {min(self.sizes)}, do not divide "
                f"{len(self.right)} rows: every row needs one group, and every group a row."
            )
        if self.draws and (len(self.draws) != self.answers or sum(self.draws) != sum(self.right)):
            raise ShapeError(
                f"{len(self.draws)} draws with {sum(self.draws)} right answers are not those of "
                f"{self.answers} answers a row with {sum(self.right)}."
            )

    def __len__(self) -> int:
        return len(self.right)

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """``[n]``, the part of each unit's answers that is right."""
        return np.array(self.right, dtype=np.float64) / self.answers

    @property
    def half_accuracies(self) -> NDArray[np.float64] | None:
        """``[b, 2, 2]`` accuracies of both batches of both halves of each halving; None without halves."""
        if not self.halves:
            return None
        return np.array(self.halves, dtype=np.float64).reshape(-1, 2, 2) / self.half_answers

    def to_json(self) -> dict[str, Any]:
        """Plain values; single answers as a string of ``0`` and ``1``, several as a list."""
        digits = "".join(map(str, self.right))
        right = digits if self.answers == 1 else list(self.right)
        plain: dict[str, Any] = {"unit": self.unit, "of": self.of, "answers": self.answers, "right": right}
        if self.sizes:
            plain["sizes"] = list(self.sizes)
        if self.draws:
            plain["draws"] = list(self.draws)
        if self.halves:
            plain |= {"halves": [list(four) for four in self.halves], "half_answers": self.half_answers}
        return plain

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Outcomes":
        """The inverse of ``to_json``."""
        lists = {name: tuple(map(int, value.get(name, ()))) for name in ("right", "sizes", "draws")}
        halves = tuple(tuple(map(int, four)) for four in value.get("halves", ()))
        return cls(**{**value, **lists, "halves": halves})


def row_outcomes(
    ids: Sequence[str],
    right: ArrayLike,
    *,
    answers: int = 1,
    groups: Groups = None,
    draws: Sequence[int] = (),
) -> Outcomes:
    """Outcomes of test rows.

    Rows that come in groups are put group by group, in the order in which groups first appear: so a record
    says with one number a group which rows belong together.

    Args:
        ids: ``[n]`` names of the rows, in order.
        right: ``[n]`` of 0 and 1 or booleans; with ``answers`` above 1, counts.
        answers: how often each row is asked, once a draw.
        groups: ``[n]`` names; None where every row is on its own.
        draws: right answers of each draw, where there are several.

    Raises: ShapeError: if there are not as many outcomes or groups as names, or they are out of range.
    """
    counts, names = np.asarray(right), list(ids)
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
    return Outcomes("rows", digest, answers, tuple(map(int, counts.tolist())), sizes, tuple(draws))


def episode_outcomes(
    digest: str, right: ArrayLike, *, answers: int, halves: ArrayLike | None = None, half_answers: int = 0
) -> Outcomes:
    """Outcomes of episodes that are kept as a whole.

    Args:
        digest: of all the episodes: their rows and their order.
        right: ``[e]`` right answers of each.
        answers: queries of one episode, over all its classes.
        halves: ``[b, 2, 2]`` right answers of two batches for both halves of each halving; None without.
        half_answers: queries of all episodes of one batch.

    Raises: ShapeError: if ``right`` is not ``[e]`` or ``halves`` not ``[b, 2, 2]``, or one is out of range.
    """
    counts = np.asarray(right)
    if counts.ndim != 1:
        raise ShapeError(f"Episodes need outcomes [e], not {list(counts.shape)}.")
    both = np.zeros((0, 2, 2), dtype=np.int64) if halves is None else np.asarray(halves)
    if both.shape[1:] != (2, 2):
        raise ShapeError(f"Halves need outcomes [b, 2, 2], not {list(both.shape)}.")
    return Outcomes(
        "episodes",
        digest,
        answers,
        tuple(map(int, counts.tolist())),
        halves=tuple(tuple(map(int, four)) for four in both.reshape(-1, 4).tolist()),
        half_answers=half_answers,
    )


def require_same_units(a: Outcomes, b: Outcomes) -> None:
    """Refuse to pair what is not the same.

    Raises: DataError: saying what differs.
    """
    if a.unit != b.unit:
        raise DataError(f"One was scored on {a.unit} and the other on {b.unit}.")
    if len(a) != len(b) or a.answers != b.answers:
        raise DataError(
            f"One was scored on {len(a)} {a.unit} of {a.answers} answers, the other on {len(b)} of {b.answers}."
        )
    if (len(a.halves), a.half_answers) != (len(b.halves), b.half_answers):
        raise DataError(
            f"One was scored on {len(a.halves)} halvings of {a.half_answers} answers, "
            f"the other on {len(b.halves)} of {b.half_answers}."
        )
    if a.of != b.of:
        raise DataError(f"The {len(a)} {a.unit} are not the same ones, or not in the same order.")
