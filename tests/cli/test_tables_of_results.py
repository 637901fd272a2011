"""Tables of results at several widths: no number, heading or name is split, and full names are listed once."""

import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from tests.reports.records import record
from tests.terminal import printed
from transferkit.core.outcomes import row_outcomes
from transferkit.core.results import Result, Results
from transferkit.protocols.analyses.transferability import Agreement, Transferability
from transferkit.protocols.compare import compare_models
from transferkit.reports.analysis_tables import (
    SEPARATION_COLUMNS,
    robustness_table,
    separation_table,
    transferability_tables,
)
from transferkit.reports.comparison import comparison_tables
from transferkit.reports.depth import semantic_table
from transferkit.reports.rendering import Part
from transferkit.reports.result_table import result_table
from transferkit.reports.summary import overview, overview_table
from transferkit.reports.terminal import terminal_view
from transferkit.studies.run import StudyRun
from transferkit.studies.state import TaskState
from transferkit_cli import session
from transferkit_cli.detecting import _class_table
from transferkit_cli.main import cli
from transferkit_cli.study_tables import state_table

CHECKPOINT = "file:/data/checkpoints/first-run/epoch_0100.pth#resnet50"
BIRDS = "folder:/data/projects/wildlife/datasets/birds/train"
MODELS = ("imagenet-lite0", CHECKPOINT, "joint")
DATA = ("mini/digits", BIRDS)
LAYERS = ("blocks.5", "blocks.6")
SCORES = ("gbc", "hscore", "hscore-regularized", "leep", "nce", "nleep", "logme", "transrate")
IDS = [str(number) for number in range(40)]


def numbers() -> Iterator[float]:
    """Yield different numbers of three digits after the point, so that each can be found in a table."""
    return (0.101 + 0.001 * number for number in range(890))


def cells(**settings: list[object]) -> Iterator[tuple[str, str, str]]:
    return ((model, data, layer) for model in MODELS for data in DATA for layer in LAYERS)


def comparisons() -> list[Part]:
    records = []
    for index, (model, data, layer) in enumerate(cells()):
        right = [1] * (10 + index) + [0] * (30 - index)
        for protocol in ("linear", "knn"):
            fields = {"layer": layer, "protocol": protocol, "outcomes": row_outcomes(IDS, right)}
            records.append(record(model, data, sum(right) / 40, **fields))
    return comparison_tables(compare_models(records))


def summary() -> list[Part]:
    value = numbers()
    protocols = ("linear", "knn", "fewshot", "finetune", "semantic", "robustness-linear", "detection")
    records = [record(m, d, next(value), protocol=p) for p in protocols for m in MODELS for d in DATA]
    return [overview_table(overview(result_table(records)))]


def ranking() -> list[Part]:
    value = numbers()
    return terminal_view(result_table([record(m, d, next(value)) for m in MODELS for d in DATA]))


def separations() -> list[Part]:
    value = numbers()
    records = [
        record(m, d, 0.5, layer=y, extra_metrics={name: next(value) for name in SEPARATION_COLUMNS})
        for m, d, y in cells()
    ]
    return [separation_table(records)]


def transferabilities() -> list[Part]:
    value = numbers()
    records = [record(m, d, next(value), layer=y, metric=score) for m, d, y in cells() for score in SCORES]
    agreements = [
        Agreement(data, score, protocol, 0.25, 3)
        for data in DATA
        for protocol in ("linear", "finetune")
        for score in SCORES
    ]
    return transferability_tables(Transferability(Results(records), (), tuple(agreements)))


def corrupted() -> list[Part]:
    value = numbers()

    def one(model: str, data: str, layer: str, corruption: str, severity: int) -> Result:
        settings = {"corruption": corruption, "severity": severity}
        return record(model, data, next(value), layer=layer, settings=settings, extra_metrics={"ece": next(value)})

    conditions = (("clean", 0), *((kind, level) for kind in ("noise", "jpeg") for level in range(1, 6)))
    return [robustness_table(Results(one(*cell, *condition) for cell in cells() for condition in conditions))]


def semantics() -> list[Part]:
    value = numbers()
    levels = ("low", "mid", "high", "factors")
    records = [
        record(m, "x", next(value), layer=y, settings={"level": level}, extra_metrics={"normalised": 0.5})
        for m in MODELS
        for y in LAYERS
        for level in levels
    ]
    return [semantic_table(records)]


def states() -> list[Part]:
    titles = [
        f"{p} · {m} · {d}" for p in ("linear", "knn", "fewshot 5-shot lr", "semantic low") for m in MODELS for d in DATA
    ]
    return [state_table(StudyRun("s", {title: TaskState(title, "done") for title in titles}, ()))]


def classes() -> list[Part]:
    value = numbers()
    lines = {
        name: {**{key: next(value) for key in ("ap50_11point", "ap50_all", "ap")}, "objects": 1234, "found": 5678}
        for name in ("triangle", "potted plant with a long name")
    }
    means = {"ap50_11point": next(value), "ap50_all": next(value)}
    extra_metrics = {"per_class": lines, "voc": means, "coco": {"ap": next(value)}}
    return [_class_table(record("pixels", "mini/scenes", 0.5, extra_metrics=extra_metrics))]


TABLES = (
    comparisons,
    summary,
    ranking,
    separations,
    transferabilities,
    corrupted,
    semantics,
    states,
    classes,
)


LABELS = {"model", "data", "layer", "protocol", "measure"}
"""Headings of columns that may become headings of rows."""


def words(text: str) -> set[str]:
    """Return the numbers, headings and names of tables, but not the bars and rules between them."""
    return set(re.findall(r"[^\s─█▒░]+", text)) - LABELS


@pytest.mark.parametrize("table", TABLES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_what_a_wide_terminal_shows_is_whole_in_a_narrow_one(table, width):
    assert words(printed(*table(), width=1000)) - words(printed(*table(), width=width)) == set()


@pytest.mark.parametrize("table", TABLES, ids=lambda one: one.__name__)
def test_rows_fit_80_columns(table):
    lines = printed(*table(), width=80).splitlines()
    assert max(len(line) for line in lines if " = " not in line) <= 80


@pytest.mark.parametrize("table", TABLES[:-1], ids=lambda one: one.__name__)
def test_short_names_are_in_rows_and_full_names_below(table):
    for text in printed(*table(), width=80).split("\n─")[1:]:
        rows = text.partition(" = ")[0]
        assert "…/" in rows
        assert not re.search("file:|folder:", rows)


@pytest.mark.parametrize("arguments", [["finetune", "--presets"], ["pretrain", "--presets"], ["study", "list"]])
def test_descriptions_wrap_between_words(arguments, monkeypatch):
    texts = []
    for width in (1000, 80):
        monkeypatch.setattr(session, "PIPE_WIDTH", width)
        texts.append(CliRunner().invoke(cli, arguments).stdout)
    wide, narrow = texts
    assert narrow.split() == wide.split()
    assert max(map(len, narrow.splitlines())) <= 80
    assert all(line == line.rstrip() for line in wide.splitlines())
