"""The page as text: complete, escaped, small, and reproducible."""

import json
import math
import re
import sys

import numpy as np
import pytest

from tests.reports.records import record
from tests.reports.studied import study
from tests.terminal import printed
from transferkit.core.errors import MissingExtraError
from transferkit.protocols.gallery import EncoderGallery, Gallery, Tile
from transferkit.reports.page import writing
from transferkit.reports.page.main_table import main_table
from transferkit.reports.page.provenance import FIELDS, provenance
from transferkit.reports.pivots import as_latex_pivot, as_markdown_pivot
from transferkit.reports.result_table import result_table
from transferkit.reports.tables import as_csv, as_latex, as_markdown
from transferkit.reports.terminal import terminal_view

ODD = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _no_chart_library(monkeypatch):
    monkeypatch.setattr(writing, "_plotly", lambda: "/* plotly */")


def report_data(text: str) -> dict:
    (found,) = re.findall(r'<script type="application/json" id="report-data">(.*?)</script>', text, flags=re.DOTALL)
    return json.loads(found)


def gallery() -> Gallery:
    tile = np.zeros((8, 8, 3), np.uint8)
    tiles = tuple(Tile("test", f"{ODD}{i}", i % 2, tile) for i in range(4))
    seen = EncoderGallery("m", "last", (0,), ((1, 2),), (0, 1, 2, 3), {"PCA": np.arange(8.0).reshape(4, 2)})
    return Gallery("d", (ODD, "other"), tiles, (seen,))


def test_the_page_holds_its_numbers_and_asks_for_nothing():
    text = writing.page(result_table(study()))
    assert "Under linear, good has the highest mean" in text
    row = text.split('<section id="overview">')[1].split('<th scope="row">good</th>')[1].split("</tr>")[0]
    assert row.count('<td class="number">') == len(result_table(study()).recipes)
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", text)
    assert len(report_data(text)["charts"]) == 11


def test_a_model_on_the_data_that_it_was_trained_on_is_marked():
    records = [record("a", "x", 0.5, extra_metrics={"trained_on": "x"}), record("b", "x", 0.3)]
    text = writing.page(result_table(records))
    assert text.count("<sup>†</sup>") == 1
    assert "† The model was trained on this data set: the number does not measure transfer." in text
    assert "trained_on" in FIELDS
    assert "†" not in writing.page(result_table(records[1:]))


def test_numbers_without_an_interval_show_none():
    """Two seeds, two data sets and records without intervals have none; NaN is neither on the page nor in tables."""
    unknown = {"ci_low": math.nan, "ci_high": math.nan, "ci_method": "none: fewer than 7 groups of similar size"}
    layers = [record("a", "x", 0.5, layer=layer, **unknown) for layer in ("layer1", "layer2")]
    seeds = [record(model, data, 0.4, seed=seed) for model in "bc" for data in "xy" for seed in (0, 1)]
    shots = [record("a", "x", 0.5, protocol="fewshot", settings={"shots": n}, **unknown) for n in (1, 5)]
    analyses = [
        record("a", "x", 0.5, protocol="robustness", settings={"severity": n, "corruption": "blur"}, **unknown)
        for n in (0, 1)
    ]
    separation = [record("a", "x", 0.5, protocol="separation", metric="class_separation", **unknown)]
    found = result_table([*layers, *seeds, *shots, *analyses, *separation])
    text = writing.page(found)
    assert not re.search(r"\bnan\b", re.sub(r"<(script|style)[ >].*?</\1>", "", text, flags=re.DOTALL), re.IGNORECASE)
    assert "<small></small>" in text
    assert "fewer than 7 groups of similar size" in text
    assert not re.search(r"\bnan\b", printed(*terminal_view(found), width=160))
    pivots = as_markdown_pivot(found), as_latex_pivot(found)
    for table in (*pivots, as_markdown(found.records), as_csv(found.records), as_latex(found.records)):
        assert not re.search(r"\bnan\b", table)


def test_the_same_records_give_the_same_page():
    assert writing.page(result_table(study())) == writing.page(result_table(study()))


def test_names_stay_text():
    records = [record(ODD, f"folder:{ODD}", v, seed=s) for s, v in enumerate((0.5, 0.6))]
    records.append(record("b", f"folder:{ODD}", 0.1))
    text = writing.page(result_table(records), galleries=[gallery()], notes=[f"No gallery of {ODD}."])
    assert ODD not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    told = report_data(text)
    assert ODD in told["provenance"]["columns"][0]["values"]
    assert f"{ODD} · {ODD}0" in told["galleries"][0]["captions"]


def test_numbers_point_at_their_records():
    found = result_table(study())
    told = provenance(found)
    for row in main_table(found).rows:
        for cell, data in zip(row.cells, found.data, strict=True):
            if cell:
                (number,) = cell.records
                at = {
                    name: column["values"][column["index"][number]]
                    for name, column in zip(FIELDS, told["columns"], strict=True)
                }
                assert (at["model"], at["data"]) == (row.model, data)
                assert at["value"] == pytest.approx(cell.value, rel=1e-5)
                assert at["evaluated_on"] == "test"


def test_equal_values_are_stored_once():
    columns = dict(zip(FIELDS, provenance(result_table(study()))["columns"], strict=True))
    assert len(columns["model"]["values"]) == 3
    assert len(columns["seconds"]["values"]) == 1
    assert len(columns["value"]["index"]) == len(study())


def test_only_significant_scores_are_bold():
    close = [record(m, "d", v, half=0.05) for m, v in (("a", 0.52), ("b", 0.5))]
    assert not any(cell.bold for row in main_table(result_table(close)).rows for cell in row.cells)
    apart = [record(m, "d", v, half=0.05) for m, v in (("a", 0.9), ("b", 0.5))]
    assert [row.cells[0].bold for row in main_table(result_table(apart)).rows] == [True, False]


@pytest.mark.parametrize(("sets", "said"), [(5, True), (6, False)])
def test_a_note_says_that_pairs_cannot_be_significant(sets, said):
    """Wilcoxon's smallest p is 2 / 2⁵ = 0.0625 for 5 data sets, and 0.031 for 6."""
    records = [record(m, f"d{i}", v) for m, v in (("a", 0.5), ("b", 0.4)) for i in range(sets)]
    text = writing.page(result_table(records))
    assert (f"With {sets} data sets and 1 pair the smallest possible <i>p</i> is 0.062" in text) == said
    assert ("no difference can be significant here" in text) == said


def test_galleries_mark_right_and_wrong():
    text = writing.page(result_table(study()), galleries=[gallery()])
    assert text.count('<figure class="right">') == 1
    assert text.count('<figure class="wrong">') == 1
    (told,) = report_data(text)["galleries"]
    assert len(told["tiles"]) == 4
    traces = told["panels"][0]["data"]
    assert [trace["customdata"] for trace in traces] == [[0, 2], [1, 3]]
    assert traces[0]["x"] == [0.0, 4.0]


def test_records_that_are_not_shown_are_named():
    text = writing.page(result_table(study(), left_out=["x.json is broken."]), notes=["No gallery of d."])
    assert "2 notes on results that are not shown" in text
    assert "x.json is broken." in text


def test_a_page_without_records_can_be_written():
    assert "nothing to compare yet" in writing.page(result_table([]))


def test_json_in_scripts_cannot_end_them():
    text = writing.script_json({"a": "</script><!--\u2028&"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!--\u2028&"}


def test_a_file_appears_when_whole(tmp_path):
    writing.write_page(result_table(study()), tmp_path / "deep" / "page.html")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["page.html"]


def test_without_jinja_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"jinja2 is needed for the report page.*transferkit\[report\]"):
        writing.page(result_table(study()))


def test_without_plotly_the_extra_is_named(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingExtraError, match=r"plotly is needed for the report page.*transferkit\[report\]"):
        writing.page(result_table(study()))
