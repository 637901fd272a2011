"""What a finished cell leaves: a record that says which split chose and which split scored."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from rich.console import Console

from .errors import DamagedError
from .files import digest_of, write_json
from .outcomes import Outcomes
from .statistics import Interval

if TYPE_CHECKING:
    from .fitted_table import FittedTable

RECORD_VERSION = 4
"""The form of the record: raised when a record gains a field or an answer was mended, so that those from
before are not reused; they can still be read.

Since 2 it says what became of each row or episode; since 3 a refit with a weak penalty is worth what the path
was; since 4 intervals are over images and respect groups.
"""


TRAINED_ON = "trained_on"
"""Name in ``Result.extra_metrics`` of the data set that the model was trained on, where it is evaluated on it."""

SEEN = "†"
"""Marks numbers of such a model in tables."""

SEEN_MEANS = f"{SEEN} The model was trained on this data set: the number does not measure transfer."


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
        version: of transferkit; a later one may compute otherwise, and does not reuse the number.
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
    version: str

    @property
    def digest(self) -> str:
        """Hex digest, 64 characters; the record's file is named by it."""
        return digest_of({**asdict(self), "record": RECORD_VERSION})


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
        extra_metrics: further metrics.
        seconds: ``fit`` and ``score``.
        outcomes: what became of each test row or episode, where the metric counts right answers.
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
    extra_metrics: Mapping[str, Any]
    skipped_rows: int
    seed: int
    seconds: Mapping[str, float]
    version: str
    cell: str
    pooling: str
    fingerprint: str
    view: Mapping[str, Any]
    outcomes: Outcomes | None = None

    @classmethod
    def of(cls, cell: Cell, score: Score, *, dim: int, skipped_rows: int, load_seconds: float) -> "Result":
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
            extra_metrics=score.extra_metrics,
            skipped_rows=skipped_rows,
            seconds={"load": load_seconds, **score.seconds},
            outcomes=score.outcomes,
        )

    @property
    def is_current(self) -> bool:
        """Whether the same question would be answered by it: not if ``RECORD_VERSION`` was raised since."""
        return Cell(**{name: getattr(self, name) for name in _CELL_FIELDS}).digest == self.cell

    @property
    def trained_on(self) -> str:
        """The data set if the model was trained on it, else empty."""
        return str(self.extra_metrics.get(TRAINED_ON, ""))

    def to_json(self) -> dict[str, Any]:
        """Plain values, some of them the record's own."""
        return {**vars(self), "outcomes": self.outcomes.to_json() if self.outcomes else None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Result":
        """The inverse of ``to_json``; records from before there were outcomes have none."""
        outcomes = value.get("outcomes")
        return cls(**{**value, "outcomes": Outcomes.from_json(outcomes) if outcomes else None})

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

    def named(self, cell: str) -> Result:
        """The record of the cell whose digest is ``cell``.

        Raises: DamagedError: if it is not there, or not whole.
        """
        path = self._path(cell)
        if not path.exists():
            raise DamagedError(f"{path} is gone. Run what made it again.")
        return self._read(path)

    def add(self, result: Result) -> None:
        """Keep ``result``; a record of the same cell is replaced."""
        value = result.to_json()
        write_json(self._path(result.cell), {**value, "digest": digest_of(value)})

    def __iter__(self) -> Iterator[Result]:
        """Every record, in the order of model, data, protocol, layer and digest."""
        records = [self._read(path) for path in self._folder.glob("*.json")]
        yield from sorted(records, key=lambda r: (r.model, r.data, r.protocol, r.layer, r.cell))

    def survey(self) -> Iterator[Result | DamagedError]:
        """Every record in the order of its file's name, or in its place why it cannot be read."""
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
            whole = written == _digest_without(text, written) or written == digest_of(value)
            if not whole or not value["cell"].startswith(path.stem):
                raise ValueError("its bytes are not those that were written")
            return Result.from_json(value)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(
                f"{path} is not a whole result record ({error}). Delete it; the next run computes it anew."
            ) from error


def _digest_without(text: str, digest: str) -> str:
    """The digest of a record's text without the line that holds it: quicker than spelling it anew."""
    return hashlib.sha256(text.replace(f'  "digest": "{digest}",\n', "", 1).encode()).hexdigest()


class Results(Sequence[Result]):
    """Several records that show themselves: in a terminal, in a notebook, as JSON.

    Args:
        records: kept in the order given.
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
        """The records as plain values."""
        return [record.to_json() for record in self._records]

    def __rich__(self) -> "FittedTable":
        from .record_table import record_table  # it builds on this module

        return record_table(self._records)

    @property
    def _seen(self) -> bool:
        return any(record.trained_on for record in self._records)

    def __str__(self) -> str:
        with (console := Console(width=160, color_system=None)).capture() as captured:
            console.print(self, crop=False)
        return captured.get().rstrip()

    def _repr_html_(self) -> str:
        """What a notebook shows; names given by users are escaped."""
        cell = "<td>{}</td>".format
        rows = "".join("<tr>" + "".join(cell(escape(c)) for c in _row(r)) + "</tr>" for r in self._records)
        head = "".join(f"<th>{name}</th>" for name in _HEADINGS)
        note = f"<p>{SEEN_MEANS}</p>" if self._seen else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}"


_HEADINGS = (
    "model",
    "data",
    "layer",
    "protocol",
    "metric",
    "value",
    "95 % interval",
    "n",
    "chosen on",
    "scored on",
    "unreadable",
)


def recipe(protocol: str, settings: Mapping[str, Any]) -> str:
    """A protocol with what tells its records apart at a glance.

    >>> recipe("fewshot", {"shots": 5, "method": "lr", "queries": 15})
    'fewshot 5-shot lr'
    """
    shots = f" {settings['shots']}-shot" if "shots" in settings else ""
    method = f" {settings['method']}" if "method" in settings else ""
    level = f" {settings['level']}" if "level" in settings else ""
    return protocol + shots + method + level


def _row(record: Result) -> tuple[str, ...]:
    return (
        record.model,
        f"{record.data} {SEEN}" if record.trained_on else record.data,
        record.layer,
        recipe(record.protocol, record.settings),
        record.metric,
        f"{record.value:.3f}",
        f"{record.ci_low:.3f}–{record.ci_high:.3f}",
        str(record.n),
        record.selected_on,
        record.evaluated_on,
        str(record.skipped_rows),
    )
