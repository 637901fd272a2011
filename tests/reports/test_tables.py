"""Tables for people and for programs."""

import csv
import io
import json

import pytest

from tests.reports.records import record
from transferkit.core.errors import UsageError
from transferkit.core.results import Results
from transferkit.reports.tables import COLUMNS, as_csv, as_latex, as_markdown, pivot, write_table

ODD = Results([record('m,"1"', "folder:a|b_c", 0.5), record("m2", "d%&", 0.25)])


def test_csv_survives_commas_and_quotes():
    head, *rows = list(csv.reader(io.StringIO(as_csv(ODD))))
    assert tuple(head) == COLUMNS
    assert rows[0][:2] == ['m,"1"', "folder:a|b_c"]
    assert rows[0][COLUMNS.index("value")] == "0.5000"


def test_markdown_escapes_the_pipe():
    lines = as_markdown(ODD).splitlines()
    assert len(lines) == 4
    assert "folder:a\\|b_c" in lines[2]


def test_latex_escapes_what_is_special():
    text = as_latex(ODD)
    assert "folder:a|b\\_c" in text
    assert "d\\%\\&" in text
    assert text.count("\\\\") == 3


@pytest.mark.parametrize("ending", [".csv", ".md", ".tex", ".json"])
def test_the_ending_names_the_form(tmp_path, ending):
    path = tmp_path / f"table{ending}"
    write_table(ODD, path)
    assert "m2" in path.read_text(encoding="utf-8")


def test_json_is_the_whole_records(tmp_path):
    write_table(ODD, tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text()) == ODD.to_json()


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"Choose one of: \.csv, \.md, \.tex, \.json"):
        write_table(ODD, tmp_path / "table.xls")


def test_the_pivot_marks_what_is_missing():
    text = pivot([record("a", "x", 0.5), record("b", "y", 0.25)], title="T").text(80)
    assert "0.500 ±0.010" in text
    assert "–" in text
