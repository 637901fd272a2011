"""Tables of analyses: one function per analysis, from its values to a table."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..analysis.transferability import SCORES
from ..core.fitted_table import Cell, Column, FittedTable, Name
from ..core.results import Result, Results
from ..protocols.analyses.similarity import Similarity
from ..protocols.analyses.transferability import Agreement, Transferability
from ..protocols.invert import Inversions, Reconstructions

_LAYER_COLUMNS = (Column("model", group=2), Column("data", group=3), Column("layer", constant="layer {}", group=4))
"""First columns of the tables of analyses."""

SEPARATION_COLUMNS = {
    "class_separation": "separation",
    "intra_cosine": "within",
    "inter_cosine": "between",
    "alignment": "alignment",
    "uniformity": "uniformity",
    "effective_rank": "RankMe",
    "spectrum_decay": "α-ReQ",
}
"""Names in the record → headings of the table of class separation."""

_ROBUSTNESS_MEASURES: dict[str, Callable[[Result], float]] = {
    "accuracy": lambda record: record.value,
    "calibration error": lambda record: record.extra_metrics["ece"],
}
"""Measures in the table of robustness: name → the measure of a record."""

_INVERSION_COLUMNS = (
    Column("model", group=2),
    Column("layer"),
    Column("shape", group=1),
    *(Column(heading, right=True) for heading in ("distance", "PSNR dB", "SSIM", "perceptual", "n")),
)


def _layer_cells(record: Result) -> tuple[str | Name, ...]:
    """Return the cells of ``_LAYER_COLUMNS``."""
    return Name(record.model), Name(record.data), record.layer


def similarity_table(found: Similarity) -> FittedTable:
    """Return the CKA matrix with one row per layer, and the numbers of the layers as headings."""
    numbers = (str(number) for number in range(1, len(found.names) + 1))
    columns = (Column("#", right=True), Column("layer"), *(Column(n, right=True, stacked=True) for n in numbers))
    rows: list[tuple[Cell, ...]] = [
        (str(number), _label(name), *("constant" if value is None else f"{value:.2f}" for value in line))
        for number, (name, line) in enumerate(zip(found.names, found.matrix.values, strict=True), 1)
    ]
    return FittedTable(columns, rows, title=f"CKA on {found.data}, {found.matrix.n} rows")


def _label(name: str) -> str | Name:
    """Return the name of a layer as a cell, in which the model may be shortened."""
    model, _, layer = name.rpartition(" ")
    return Name(model, layer) if model else layer


def separation_table(records: Sequence[Result]) -> FittedTable:
    """Return a table with one row per model, data set and layer."""
    columns = (*_LAYER_COLUMNS, *(Column(heading, right=True, stacked=True) for heading in SEPARATION_COLUMNS.values()))
    rows = [
        (*_layer_cells(record), *(_separation_cell(record.extra_metrics[name]) for name in SEPARATION_COLUMNS))
        for record in records
    ]
    return FittedTable(columns, rows)


def _separation_cell(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def transferability_tables(found: Transferability) -> list[FittedTable | str]:
    """Return the scores, and their agreement with measured accuracies or what to run to get these."""
    return [_score_table(found.records), "", _agreement_table(found.agreements)]


def _score_table(records: Results) -> FittedTable:
    """Return a table with one row per model, data set and layer, and one column per score."""
    names = list(dict.fromkeys(record.metric for record in records))
    values = {(r.model, r.data, r.layer, r.metric): f"{r.value:.3f}" for r in records}
    first = {(r.model, r.data, r.layer): r for r in records}
    rows = [
        (*_layer_cells(record), *(values.get((*key, name), "–") for name in names)) for key, record in first.items()
    ]
    return FittedTable((*_LAYER_COLUMNS, *_score_columns(names)), rows)


def _score_columns(names: Sequence[str]) -> Iterator[Column]:
    for name in names:
        yield Column(SCORES[name].title.replace(" ", "\n"), right=True, stacked=True)


def _agreement_table(agreements: Sequence[Agreement]) -> FittedTable | str:
    if not agreements:
        return (
            "No accuracy of these models is in the workspace. To compare the scores with measured accuracy, run "
            "transferkit probe for the same models, data and layers, or transferkit finetune."
        )
    scores = list(dict.fromkeys(one.score for one in agreements))
    tau = {(one.data, one.protocol, one.score): one.tau for one in agreements}
    rows: list[tuple[Cell, ...]] = []
    for data, protocol in dict.fromkeys((one.data, one.protocol) for one in agreements):
        counts = {one.models for one in agreements if (one.data, one.protocol) == (data, protocol)}
        cells = (tau.get((data, protocol, name)) for name in scores)
        shown = ("–" if value is None else f"{value:+.2f}" for value in cells)
        rows.append((Name(data), protocol, str(max(counts)), *shown))
    columns = (
        Column("data", group=2),
        Column("protocol", constant="{}", group=1),
        Column("models", constant="{} models"),
        *_score_columns(scores),
    )
    return FittedTable(columns, rows, title="Agreement with measured accuracy: weighted Kendall's τ")


def robustness_table(records: Results) -> FittedTable:
    """Return a table of accuracy and calibration error by severity, per model, data set, layer and corruption."""
    severities = sorted({int(record.settings["severity"]) for record in records})
    found = {(r.model, r.data, r.layer, r.settings["corruption"], r.settings["severity"]): r for r in records}
    rows = {key[:4]: record for key, record in found.items()}
    if len(severities) > 1:
        rows = {key: record for key, record in rows.items() if key[3] != "clean"}
    cells = []
    for measure, value in _ROBUSTNESS_MEASURES.items():
        for key, record in rows.items():
            clean = found.get((*key[:3], "clean", 0))
            line = (clean if severity == 0 else found.get((*key, severity)) for severity in severities)
            shown = ("–" if one is None else f"{value(one):.3f}" for one in line)
            cells.append((measure, *_layer_cells(record), key[3], *shown))
    columns = (Column("measure", group=1), *_LAYER_COLUMNS, Column("corruption"))
    levels = (Column(str(severity), right=True, stacked=True) for severity in severities)
    return FittedTable((*columns, *levels), cells, title="Accuracy and calibration error by severity")


def inversion_table(found: Inversions) -> FittedTable:
    """Return a table with one row per model and layer; measures are means over the images."""
    rows: list[tuple[Cell, ...]] = [
        (Name(row.model), row.layer, "×".join(map(str, row.shape)), *_inversion_cells(row), str(len(found.ids)))
        for row in found.rows
    ]
    return FittedTable(_INVERSION_COLUMNS, rows)


def _inversion_cells(row: Reconstructions) -> tuple[str, ...]:
    means = row.means
    perceptual = f"{means['perceptual']:.3f}" if "perceptual" in means else "–"
    return f"{means['distance']:.3g}", f"{means['psnr']:.1f}", f"{means['ssim']:.3f}", perceptual
