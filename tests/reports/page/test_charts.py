"""Contents of charts, and their output for the page and for papers."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.reports.records import record
from tests.reports.studied import DATA, LAYERS, MODELS, study
from transferkit.reports.figures import Curve
from transferkit.reports.page.chart import Bars, Chart, Curves, Heat, Points, RankLines
from transferkit.reports.page.paper import save_charts, sheet
from transferkit.reports.page.plotly_specs import spec_of
from transferkit.reports.page.score_charts import MEAN
from transferkit.reports.page.writing import charts_of
from transferkit.reports.result_table import result_table
from transferkit.reports.statistics import ranks

STUDY = {chart.key: chart for chart in charts_of(result_table(study()))}


def test_a_study_has_every_chart():
    assert list(STUDY) == [
        "ranks", "domains", "depth", "semantics", "shots", "calibration", "transferability", "cka",
        "corruptions", "separation", "inversion",
    ]  # fmt: skip


def test_without_records_there_is_no_chart():
    assert charts_of(result_table([])) == []
    assert {chart.key for chart in charts_of(result_table([record("a", "d", 0.5)]))} == {"domains"}


def test_one_bar_joins_all_models_if_friedman_is_not_significant():
    mixed = [record(m, f"d{i}", 0.5 + 0.1 * ((i + k) % 3)) for k, m in enumerate("abc") for i in range(5)]
    panel = next(chart for chart in charts_of(result_table(mixed)) if chart.key == "ranks").panels["linear"]
    assert panel.ranks.friedman_p > 0.05
    ((low, high, _),) = panel.bars
    assert low < min(panel.ranks.mean_ranks)
    assert high > max(panel.ranks.mean_ranks)


def test_a_recipe_of_one_model_has_no_domain_panel_if_another_has_several():
    records = [record(m, "d", 0.5) for m in "ab"] + [record("a", "d", 0.5, protocol="knn")]
    (chart,) = [chart for chart in charts_of(result_table(records)) if chart.key == "domains"]
    assert list(chart.panels) == ["linear"]


def many_points(count: int = 24) -> Chart:
    names = [f"m{i}" for i in range(count)]
    points = {name: [(i, i, "last")] for i, name in reversed(list(enumerate(names)))}
    lines = {name: Curve([0, 1], [0, 1]) for name in names}
    bars = Bars(["g"], {name: [0.5] for name in names})
    return Chart("k", "t", "c", {"p": Points(points), "c": Curves(lines), "b": bars}, names=names)


def test_twenty_models_have_different_styles():
    points, lines, bars = (panel["data"] for panel in spec_of(many_points())["panels"])
    assert [trace["name"] for trace in points] == [f"m{i}" for i in range(24)], "in the order of the models"
    assert len({(t["marker"]["color"], t["marker"]["symbol"]) for t in points}) == 24
    assert len({(t["line"]["color"], t["line"]["dash"], t["marker"]["symbol"]) for t in lines}) == 24
    assert len({(t["marker"]["color"], t["marker"]["pattern"]["shape"]) for t in bars}) == 24


def test_twenty_models_have_different_styles_on_paper():
    points, lines, bars = sheet(many_points()).axes
    assert len({(line.get_color(), line.get_marker()) for line in points.get_lines()}) == 24
    assert len({(line.get_color(), line.get_linestyle()) for line in lines.get_lines()}) == 24
    assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in bars.patches}) == 24


def test_domains_are_means_over_their_sets():
    panel = STUDY["domains"].panels["linear"]
    assert isinstance(panel, Bars)
    assert panel.groups == ["natural", "symbolic", "medical", "other"]
    cells = result_table(study()).cells
    assert panel.series["good"][1] == pytest.approx(cells["linear", "good", "mini/digits"].value)


def test_depth_ends_at_one_and_the_mean_is_over_the_data_sets():
    panels = STUDY["depth"].panels
    assert list(panels) == [
        f"linear · {name}" for name in (MEAN, "mini/leaves", "mini/digits", "mini/cells", "folder:mine")
    ]
    line = panels[f"linear · {MEAN}"].lines["good"]
    assert line.x == pytest.approx([1 / 3, 2 / 3, 1])
    by_layer = result_table(study()).by_layer
    expected = np.mean([by_layer["linear", "good", d, LAYERS[-1]].value for d in DATA])
    assert line.y[-1] == pytest.approx(expected)
    widths = [by_layer["linear", "good", d, LAYERS[-1]].interval for d in DATA]
    half = np.sqrt(sum(((i.high - i.low) / 2) ** 2 for i in widths)) / len(DATA)
    assert line.high[-1] - line.y[-1] == pytest.approx(half)


def test_shots_are_in_order():
    line = STUDY["shots"].panels[f"fewshot lr · {MEAN}"].lines["fair"]
    assert list(line.x) == [1, 5, 20]
    assert line.y == pytest.approx([0.32, 0.4, 0.7])


def test_calibration_has_its_diagonal():
    panel = STUDY["calibration"].panels["linear · mini/digits"]
    assert panel.diagonal
    assert panel.lines["poor"].y == [0.3, 0.6]


def test_bins_with_few_answers_are_left_out_of_a_curve():
    curve = {"confidence": [0.2, 0.4, 0.7], "accuracy": [1.0, 0.3, 0.6], "count": [4, 5, 9]}
    extra_metrics = {"calibration": {"before": {"reliability": curve}}}
    charts = {
        chart.key: chart for chart in charts_of(result_table([record("a", "d", 0.5, extra_metrics=extra_metrics)]))
    }
    line = charts["calibration"].panels["linear · d"].lines["a"]
    assert (list(line.x), list(line.y)) == ([0.4, 0.7], [0.3, 0.6])
    curve["count"] = [4, 4, 1]
    assert "calibration" not in {
        chart.key for chart in charts_of(result_table([record("a", "d", 0.5, extra_metrics=extra_metrics)]))
    }


def test_transferability_pairs_a_score_with_the_accuracy_of_the_same_layer():
    points = STUDY["transferability"].panels["logme · linear · mini/cells"].points["good"]
    assert [label for _, _, label in sorted(points, key=lambda p: LAYERS.index(p[2]))] == list(LAYERS)
    assert all(x == pytest.approx(3 * y) for x, y, _ in points)


def test_fine_tuning_is_compared_with_the_score_of_the_deepest_layer():
    panels = STUDY["transferability"].panels
    scores = {(r.model, r.layer): r.value for r in study() if r.protocol == "transferability" and r.data == DATA[0]}
    expected = {m: [(scores[m, LAYERS[-1]], 0.5 + lead, LAYERS[-1])] for m, lead in MODELS.items()}
    assert panels[f"logme · finetune · {DATA[0]}"].points == expected


def test_corruptions_begin_clean():
    line = STUDY["corruptions"].panels["mini/digits · blur"].lines["good"]
    assert list(line.x) == [0, 1, 2]
    assert line.y == pytest.approx([0.5, 0.4, 0.3])


def test_cka_is_in_the_order_of_depth():
    panel = STUDY["cka"].panels["mini/digits · good × good"]
    assert panel.rows == panel.columns == list(LAYERS)
    assert panel.values.tolist() == (0.5 + 0.5 * np.eye(3)).tolist()


def test_models_keep_their_colours():
    specs = {key: spec_of(STUDY[key]) for key in ("depth", "shots")}
    colours = {
        key: {t["name"]: t["line"]["color"] for t in spec["panels"][0]["data"] if t.get("mode") == "lines+markers"}
        for key, spec in specs.items()
    }
    assert colours["depth"] == colours["shots"]
    assert len(set(colours["depth"].values())) == len(MODELS)


@pytest.mark.parametrize("key", STUDY)
def test_specs_are_plain_and_finite(key):
    text = json.dumps(spec_of(STUDY[key]), allow_nan=False)
    assert json.loads(text)["key"] == key


def test_names_are_escaped_for_plotly():
    odd = "<b>x</b>&"
    line = {odd: replace(STUDY["shots"].panels[f"fewshot lr · {MEAN}"].lines["fair"])}
    panels = {
        "curves": Curves(line),
        "bars": Bars([odd], {odd: [0.5]}),
        "heat": Heat([odd], [odd], np.array([[np.nan]])),
        "points": Points({odd: [(0, 1, odd)]}),
        "ranks": RankLines(ranks([odd, "b", "c"], np.arange(6).reshape(3, 2))),
    }
    spec = spec_of(Chart("k", "t", "c", panels))
    assert "<b>" not in json.dumps(spec)
    assert json.dumps(spec).count("&lt;b&gt;x&lt;/b&gt;&amp;") >= 8


@pytest.mark.parametrize("key", ["ranks", "domains", "cka", "transferability"])
def test_each_chart_is_saved_in_three_formats(key, tmp_path):
    paths = save_charts([STUDY[key]], tmp_path)
    assert [path.name for path in paths] == [f"{key}.{form}" for form in ("svg", "pdf", "png")]
    assert [path.read_bytes()[:4] for path in paths[1:]] == [b"%PDF", b"\x89PNG"]
    assert "good" in paths[0].read_text() or key == "cka"


def test_a_sheet_holds_every_panel():
    figure = sheet(STUDY["depth"])
    assert [axes.get_title() for axes in figure.axes] == list(STUDY["depth"].panels)
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == set(MODELS)


def test_the_same_sheet_gives_the_same_bytes(tmp_path):
    one = save_charts([STUDY["ranks"]], tmp_path / "a")
    other = save_charts([STUDY["ranks"]], tmp_path / "b")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_dollars_and_underscores_are_text(tmp_path):
    line = STUDY["shots"].panels[f"fewshot lr · {MEAN}"].lines["fair"]
    chart = Chart("k", "t", "c", {"p": Curves({"_a$b$": line, "$": line})})
    labels = [text.get_text() for text in sheet(chart).legends[0].get_texts()]
    assert [label.strip("\u200a") for label in labels] == ["_a\\$b\\$", "\\$"]
    assert save_charts([chart], tmp_path)
