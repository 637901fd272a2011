"""Short names, lines of parts that are never split, and columns that move below."""

import pytest
from rich.cells import cell_len

from transferkit.core.fitted_table import (
    Column,
    FittedTable,
    Name,
    Styled,
    display_width,
    packed,
    short_names,
)


def test_short_names_take_as_many_parts_as_tell_them_apart():
    names = ["folder:/a/birds/train", "folder:/a/cars/train", "folder:/b/cars/val", "random:resnet18"]
    assert list(short_names(names).values()) == ["…/birds/train", "…/cars/train", "…/val", "resnet18"]


def test_names_that_are_the_same_but_for_the_prefix_keep_it():
    names = ["random:resnet18", "torchvision:resnet18", "folder:/x"]
    assert short_names(names) == {name: name for name in names}


def test_packed_lines_split_no_part():
    assert packed(["one", "two", "a very long part", "three"], 12) == ["one · two", "a very long part", "three"]


@pytest.mark.parametrize("text", ["plain", "α ±0.1 – …", "█░▒─†", "日本語 data", "e\u0301", "🐦 birds", "ＡＢ"])
def test_the_width_of_a_text_is_that_in_a_terminal(text):
    assert display_width(text) == cell_len(text)


STACKED = tuple(Column(heading, right=True, stacked=True) for heading in ("top\n1", "top\n5", "mean"))


def test_columns_that_do_not_fit_are_in_a_table_below():
    rows = [(Name("a"), "0.1", "0.2", "0.3"), (Name("b"), Styled("0.4", "red"), "0.5", "0.6")]
    table = FittedTable((Column("model"), *STACKED), rows, ["A note."], "Accuracies")
    assert table.text(40) == (
        "Accuracies\n       top  top\nmodel    1    5  mean\n"
        "─────────────────────\na      0.1  0.2   0.3\nb      0.4  0.5   0.6\n\nA note."
    )
    assert table.text(15) == (
        "Accuracies\n       top  top\nmodel    1    5\n───────────────\na      0.1  0.2\nb      0.4  0.5\n"
        "\nmodel  mean\n───────────\na       0.3\nb       0.6\n\nA note."
    )


def test_a_column_becomes_headings_before_tables_are_stacked_unless_it_names_every_row():
    columns = (Column("model", group=1), Column("layer"), *STACKED)
    rows = [(Name(model), layer, "0.1", "0.2", "0.3") for model in ("a long name", "b") for layer in "xy"]
    assert "a long name\nx      0.1  0.2   0.3\ny " in FittedTable(columns, rows).text(24)
    assert "a long name  x      0.1\nb            x      0.1\n" in FittedTable(columns, rows[::2]).text(24)


def test_only_cells_and_headings_have_a_style():
    table = FittedTable((Column("model"), Column("top 1", right=True)), [(Name("a"), Styled("0.4", "red"))])
    heading, _, row = table.lines(40)
    assert [part.text for part in heading if part.style == "bold"] == ["model", "top 1"]
    assert [part.text for part in row if part.style] == ["0.4"]
    assert "".join(map(str, row)) == "a        0.4"


def test_a_table_without_rows_is_empty():
    assert FittedTable(STACKED, [], ["A note."], "Accuracies").text(40) == ""
