"""Result records of finished cells, which state the split that selected and the split that scored."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, overload

from .errors import DamagedError, OutdatedError
from .files import digest_of, write_json
from .outcomes import Outcomes
from .statistics import Interval

RECORD_VERSION = 6
"""Version of records. It increases when a record gains a field or the computation of a number is corrected, so
that older records are not reused. Reports leave them out and count them.

2 added the outcome of each row or episode; 3 corrected refits with a weak penalty; 4 made intervals be over images
and groups; 5 left out intervals that rest on too few groups, draws, seeds or rows; 6 renamed
fields: preprocessing (view), baselines (floors), correct and predictions (right and answers).
"""


TRAINED_ON = "trained_on"
"""Key in ``Result.extra_metrics`` of the evaluated data set, if the model was trained on it."""

TEXT_WIDTH = 160
"""Width of results as text, in characters."""

SEEN = "†"
"""Marker in tables for a model that was trained on the evaluated data set."""

SEEN_MEANS = f"{SEEN} The model was trained on this data set: the number does not measure transfer."


@dataclass(frozen=True)
class Cell:
    """Everything that determines a number: model × dataset × layer × protocol × seed, and their contents.

    Attributes:
        protocol: name of the protocol, such as ``linear``, ``knn`` or ``fewshot``.
        model, weights: spec of the encoder and digest of its weights.
        data, fingerprint: spec of the data set and digest of the content of all splits.
        layer, pooling: layer of the features and its pooling.
        preprocessing: all settings of the extraction that affect the features (transform, dtype, precision).
        settings: settings of the protocol, as plain values.
        seed: seed of all random draws.
        version: version of transferkit; other versions do not reuse the number, because they may compute another.
    """

    protocol: str
    model: str
    weights: str
    data: str
    fingerprint: str
    layer: str
    pooling: str
    preprocessing: Mapping[str, Any]
    settings: Mapping[str, Any]
    seed: int
    version: str

    @property
    def digest(self) -> str:
        """Hex digest, 64 characters, from which the name of the record's file is made."""
        return digest_of({**asdict(self), "record": RECORD_VERSION})


@dataclass(frozen=True)
class Score:
    """The result of a probe, without the origin of the features.

    Attributes:
        metric, value: main metric and its value; accuracies are fractions.
        interval: 95 % interval of the value.
        n: number of test rows or episodes.
        selected_on: split that selected the hyper-parameters, or ``none`` if nothing was selected.
        evaluated_on: split that was scored; never the one that selected.
        chosen: selected hyper-parameters.
        extra_metrics: further metrics.
        seconds: duration of ``fit`` and ``score``, and of ``load`` if features were read for it.
        outcomes: outcome of each test row or episode, if the metric counts correct predictions.
    """

    metric: str
    value: float
    interval: Interval
    n: int
    selected_on: str
    evaluated_on: str
    chosen: Mapping[str, Any] = field(default_factory=dict)
    extra_metrics: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    outcomes: Outcomes | None = None


@dataclass(frozen=True)
class Result:
    """The record of a finished cell, which is stored as one JSON file."""

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
    extra_metrics: Mapping[str, Any]
    skipped_rows: int
    seed: int
    seconds: Mapping[str, float]
    version: str
    cell: str
    pooling: str
    fingerprint: str
    preprocessing: Mapping[str, Any]
    outcomes: Outcomes | None = None

    @classmethod
    def of(cls, cell: Cell, score: Score, *, dim: int, skipped_rows: int) -> "Result":
        """Return the record of a cell and its score."""
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
            extra_metrics=score.extra_metrics,
            skipped_rows=skipped_rows,
            seconds={"load": 0.0, **score.seconds},
            outcomes=score.outcomes,
        )

    @property
    def is_current(self) -> bool:
        """True if this version of transferkit reuses the record; False if ``RECORD_VERSION`` has increased since."""
        return Cell(**{name: getattr(self, name) for name in _CELL_FIELDS}).digest == self.cell

    @property
    def interval(self) -> Interval:
        """95 % interval of the value."""
        return Interval(self.ci_low, self.ci_high, self.ci_method)

    @property
    def trained_on(self) -> str:
        """The data set if the model was trained on it, else an empty text."""
        return str(self.extra_metrics.get(TRAINED_ON, ""))

    def to_json(self) -> dict[str, Any]:
        """Return plain values; nested ones are shared with the record."""
        low, high = self.interval.limits or (None, None)
        return {
            **vars(self),
            "ci_low": low,
            "ci_high": high,
            "outcomes": self.outcomes.to_json() if self.outcomes else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Result":
        """Return the record that ``to_json`` converted."""
        outcomes = value["outcomes"]
        low, high = (math.nan if value[name] is None else value[name] for name in ("ci_low", "ci_high"))
        return cls(
            **{
                **value,
                "ci_low": low,
                "ci_high": high,
                "outcomes": Outcomes.from_json(outcomes) if outcomes else None,
            }
        )

    def __str__(self) -> str:
        return (
            f"{self.model} · {self.data} · {self.layer} · {self.protocol}: {self.metric} "
            f"{self.value:.3f} {self.interval.margin}".rstrip()
        )


_CELL_FIELDS = [f.name for f in fields(Cell)]
_FIELDS = {f.name for f in fields(Result)}


class ResultStore:
    """A folder with one record file per finished cell.

    Args:
        folder: folder of the records; need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, cell: Cell) -> Result | None:
        """Return the record of ``cell``, or None if there is none."""
        path = self._path(cell.digest)
        return self._read(path) if path.exists() else None

    def named(self, cell: str) -> Result:
        """Return the record of the cell whose digest is ``cell``.

        Raises: DamagedError: if the record is missing or damaged.
        """
        path = self._path(cell)
        if not path.exists():
            raise DamagedError(f"{path} is missing. Repeat the command that wrote it.")
        return self._read(path)

    def add(self, result: Result) -> None:
        """Store ``result``; it replaces a record of the same cell."""
        value = result.to_json()
        write_json(self._path(result.cell), {**value, "digest": digest_of(value)})

    def __iter__(self) -> Iterator[Result]:
        """Yield each record, in the order of model, data, protocol, layer and digest; without outdated ones.

        Raises: DamagedError: if a record is damaged.
        """
        records: list[Result] = []
        for found in self.survey():
            if isinstance(found, Result):
                records.append(found)
            elif not isinstance(found, OutdatedError):
                raise found
        yield from sorted(records, key=lambda r: (r.model, r.data, r.protocol, r.layer, r.cell))

    def survey(self) -> Iterator[Result | DamagedError]:
        """Yield each record, or the error if it is damaged or outdated, in the order of the file names."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                yield self._read(path)
            except DamagedError as error:
                yield error

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest[:32]}.json"

    def _read(self, path: Path) -> Result:
        try:
            text = path.read_text(encoding="utf-8")
            value = json.loads(text)
            written = value.pop("digest")
            intact = written == _digest_without(text, written) or written == digest_of(value)
            if not intact or not value["cell"].startswith(path.stem):
                raise ValueError("its bytes differ from those that were written")
            if value.keys() != _FIELDS:
                raise OutdatedError(f"{path} was written by another version. Delete it; the next run recomputes it.")
            return Result.from_json(value)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(
                f"{path} is not a valid result record ({error}). Delete it; the next run recomputes it."
            ) from error


def _digest_without(text: str, digest: str) -> str:
    """Return the digest of a record's text without the digest's line, which is faster than encoding it again."""
    return hashlib.sha256(text.replace(f'  "digest": "{digest}",\n', "", 1).encode()).hexdigest()


class Results(Sequence[Result]):
    """A sequence of records that can be shown in a terminal, in a notebook, or as JSON.

    Args:
        records: the records, in the order to keep.
    """

    def __init__(self, records: Iterable[Result] = ()) -> None:
        self._records = tuple(records)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> "Results": ...
    def __getitem__(self, index: int | slice) -> "Result | Results":
        return Results(self._records[index]) if isinstance(index, slice) else self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the records as plain values."""
        return [record.to_json() for record in self._records]

    def __str__(self) -> str:
        from .record_table import record_table  # it imports this module

        return record_table(self._records).text(TEXT_WIDTH)

    def _repr_html_(self) -> str:
        """Return the HTML table for notebooks."""
        from .record_table import html_table  # it imports this module

        return html_table(self._records)


def recipe(protocol: str, settings: Mapping[str, Any]) -> str:
    """Return a protocol with its main settings: shots, method and level.

    >>> recipe("fewshot", {"shots": 5, "method": "lr", "queries": 15})
    'fewshot 5-shot lr'
    """
    shots = f" {settings['shots']}-shot" if "shots" in settings else ""
    method = f" {settings['method']}" if "method" in settings else ""
    level = f" {settings['level']}" if "level" in settings else ""
    return protocol + shots + method + level
