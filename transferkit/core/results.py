"""What a finished cell leaves: a record that says which split chose and which split scored."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .errors import DamagedError
from .files import digest_of, write_json
from .statistics import Interval


@dataclass(frozen=True)
class Cell:
    """What defines a number: one model × dataset × layer × protocol × seed, and their contents.

    Attributes:
        protocol: ``linear``, ``knn``, ``fewshot``, …
        model, weights: the encoder's spec and the digest of its weights.
        data, fingerprint: the data set's spec and the digest of its content, all splits.
        layer, pooling: where the features were tapped.
        view: everything else of the cache key that shapes the features (transform, dtype, precision).
        settings: the protocol's settings, plain values.
        seed: of every draw.
    """

    protocol: str
    model: str
    weights: str
    data: str
    fingerprint: str
    layer: str
    pooling: str
    view: Mapping[str, Any]
    settings: Mapping[str, Any]
    seed: int

    @property
    def digest(self) -> str:
        """Hex digest, 64 characters; the record's file is named by it."""
        return digest_of(asdict(self))


@dataclass(frozen=True)
class Score:
    """What a probe found out, before it is known whose features they were.

    Attributes:
        metric, value: the headline number; accuracies are fractions.
        interval: 95 %.
        n: what was counted: test rows, or episodes.
        selected_on: the split that chose the hyper-parameters, or ``none`` when nothing was chosen.
        evaluated_on: the split that scored; never the one that selected.
        chosen: the hyper-parameters that selection arrived at.
        also: further metrics.
        seconds: ``fit`` and ``score``.
    """

    metric: str
    value: float
    interval: Interval
    n: int
    selected_on: str
    evaluated_on: str
    chosen: Mapping[str, Any] = field(default_factory=dict)
    also: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """The record of a finished cell; one JSON file."""

    protocol: str
    model: str
    weights: str
    data: str
    layer: str
    dim: int
    metric: str
    value: float
    ci_low: float
    ci_high: float
    ci_method: str
    n: int
    selected_on: str
    evaluated_on: str
    settings: Mapping[str, Any]
    chosen: Mapping[str, Any]
    also: Mapping[str, Any]
    skipped_rows: int
    seed: int
    seconds: Mapping[str, float]
    version: str
    cell: str
    pooling: str
    fingerprint: str
    view: Mapping[str, Any]

    @classmethod
    def of(
        cls, cell: Cell, score: Score, *, dim: int, skipped_rows: int, load_seconds: float, version: str
    ) -> "Result":
        """Join what defines a number with the number."""
        return cls(
            **{name: getattr(cell, name) for name in _CELL_FIELDS},
            cell=cell.digest,
            dim=dim,
            metric=score.metric,
            value=score.value,
            ci_low=score.interval.low,
            ci_high=score.interval.high,
            ci_method=score.interval.method,
            n=score.n,
            selected_on=score.selected_on,
            evaluated_on=score.evaluated_on,
            chosen=score.chosen,
            also=score.also,
            skipped_rows=skipped_rows,
            seconds={"load": load_seconds, **score.seconds},
            version=version,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.model} · {self.data} · {self.layer} · {self.protocol}: {self.metric} "
            f"{self.value:.3f} [{self.ci_low:.3f}, {self.ci_high:.3f}]"
        )


_CELL_FIELDS = [f.name for f in fields(Cell)]


class ResultStore:
    """Finished cells, one file each, in a folder.

    Args:
        folder: need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, cell: Cell) -> Result | None:
        """The record of ``cell``, or None while it is unfinished."""
        path = self._path(cell.digest)
        return self._read(path) if path.exists() else None

    def add(self, result: Result) -> None:
        """Keep ``result``; a record of the same cell is replaced."""
        write_json(self._path(result.cell), result.to_json())

    def __iter__(self) -> Iterator[Result]:
        """Every record, by model, data, protocol, layer and settings."""
        records = [self._read(path) for path in self._folder.glob("*.json")]
        yield from sorted(records, key=lambda r: (r.model, r.data, r.protocol, r.layer, r.cell))

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest[:32]}.json"

    def _read(self, path: Path) -> Result:
        try:
            return Result(**json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise DamagedError(
                f"{path} is not a whole result record ({error}). Delete it; the next run computes it anew."
            ) from error
