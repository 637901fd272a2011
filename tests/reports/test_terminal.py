"""The ranking in the terminal."""

import pytest

from tests.reports.records import record
from tests.reports.studied import study
from tests.terminal import printed
from transferkit.reports.result_table import result_table
from transferkit.reports.terminal import bar, positions_text, terminal_view


def shown(found) -> str:
    return printed(*terminal_view(found), width=140)


def test_each_recipe_is_ranked_with_bars():
    text = shown(result_table(study()))
    assert "linear: mean over 4 data sets" in text
    assert "finetune: mean over 4 data sets" in text
    row = next(line for line in text.splitlines() if line.startswith("1  good"))
    assert "█" in row
    assert "±" in row


def test_names_are_not_read_as_markup():
    records = [record(m, "d", v) for m, v in (("[red]a[/red]", 0.5), ("b", 0.4))]
    assert "[red]a[/red]" in shown(result_table(records))


@pytest.mark.parametrize("odd", ["[/red]", "[penalties] a", "[0.1]"])
def test_names_and_recipes_in_brackets_are_shown_as_they_are(odd):
    records = [record(odd, "d", value, settings={"lr": lr}) for lr in ([0.1, 0.2], odd) for value in (0.5, 0.4)]
    records += [record("b", "d", 0.3, settings={"lr": lr}) for lr in ([0.1, 0.2], odd)]
    text = shown(result_table(records))
    assert f"linear (lr {odd}): d" in text
    assert "linear (lr [0.1, 0.2]): d" in text


def test_models_that_lack_data_sets_are_named():
    records = [record(m, d, v) for m, v in (("a", 0.5), ("b", 0.4)) for d in "wxyz"]
    assert "Not ranked" not in shown(result_table(records))
    records.append(record("[/c]", "w", 0.9))
    text = shown(result_table(records))
    assert "Not ranked because of missing data sets: [/c]" in text
    assert "linear: mean over 4 data sets" in text


def test_one_model_has_nothing_to_compare():
    assert "nothing to compare yet" in shown(result_table([record("a", "d", 0.5)]))


def test_records_that_are_not_shown_are_named():
    assert "Not shown: x.json is broken." in shown(result_table([], left_out=["x.json is broken."]))


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [(0.5, 0.0, "████    "), (1.2, 0.0, "████████"), (-0.3, 0.1, "        "), (0.5, 0.25, "██▒▒▒▒  ")],
)
def test_bars_stay_inside_their_width(value, half, text):
    assert str(bar(value, half, width=8)) == text


def test_better_models_name_the_positions_of_the_others():
    records = [record(m, d, v) for m, v in (("a", 0.9), ("b", 0.5), ("c", 0.1)) for d in "pqrstuvwxyz"]
    rows = [line.split() for line in shown(result_table(records)).splitlines() if line.startswith(("1 ", "2 ", "3 "))]
    assert rows[0][-2:] == ["all", "others"]
    assert rows[1][-1] == "#3"
    assert rows[2][-1] == "3.0"


@pytest.mark.parametrize(
    ("positions", "text"), [([], ""), ([3], "#3"), ([2, 3], "#2–3"), ([2, 3, 4, 7, 9, 10], "#2–4, 7, 9–10")]
)
def test_runs_of_positions_are_ranges(positions, text):
    assert positions_text(positions) == text
