"""Means per model."""

import pytest

from tests.reports.records import record
from tests.reports.studied import study
from transferkit.reports.pivots import as_latex_pivot, as_markdown_pivot
from transferkit.reports.result_table import result_table
from transferkit.reports.summary import overview, overview_table

FULL = [
    *(record("a", d, 0.5, protocol=p) for p in ("linear", "finetune") for d in "xy"),
    *(record("b", d, 0.4, protocol=p) for p in ("linear", "finetune") for d in "xy"),
    record("a", "boxes", 0.7, protocol="detection", metric="ap50", layer="all"),
]


def test_one_row_has_the_means_of_all_protocols():
    found = overview(result_table(FULL))
    assert found.recipes == ("linear", "finetune", "detection")
    assert [mean.value for mean in found.rows["a"]] == pytest.approx([0.5, 0.5, 0.7])
    assert found.rows["b"][2] is None
    assert [found.heading(column) for column in range(3)] == [
        *("linear, 2 sets", "finetune, 2 sets", "detection, 1 set"),
    ]


def test_means_are_over_the_data_sets_that_all_models_share():
    records = [record("a", d, v) for d, v in zip("wxyz", (0.9, 0.1, 0.1, 0.1), strict=True)]
    records += [record("b", d, 0.4) for d in "xyz"]
    records += [record("c", "w", 0.8), record("a", "w", 0.3, protocol="knn")]
    found = overview(result_table(records))
    assert found.rows["a"][0].value == pytest.approx(0.1)
    assert found.rows["c"][0].text == "0.800 (1 set)"


def test_one_recipe_needs_no_table():
    records = [record("a", "x", 0.5), record("b", "x", 0.4)]
    assert overview(result_table(records)) is None
    assert as_markdown_pivot(result_table(records)).startswith("## linear")


def test_it_is_shown_in_the_terminal_and_before_the_other_tables_of_texts():
    text = overview_table(overview(result_table(FULL))).text(120)
    row = next(line for line in text.splitlines() if line.strip().startswith("a "))
    assert row.split() == ["a", "0.500", "0.500", "0.700"]
    markdown = as_markdown_pivot(result_table(FULL))
    assert markdown.startswith("## Means per model\n\n| model | linear, 2 sets | finetune, 2 sets | detection, 1 set |")
    assert "| b | 0.400 | 0.400 | – |" in markdown
    assert "a & 0.500 & 0.500 & 0.700 \\\\" in as_latex_pivot(result_table(FULL))


def test_every_model_of_a_study_has_a_row():
    assert set(overview(result_table(study())).rows) == {"good", "fair", "poor"}
