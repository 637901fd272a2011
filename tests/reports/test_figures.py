"""Figures are read back from what was written: an SVG is text, a PNG has pixels."""

import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from transferkit.core.errors import MissingExtraError, ShapeError
from transferkit.reports.figures import (
    AxisLabels,
    Curve,
    curve_rows,
    curves,
    heat_map,
    picture_rows,
    save_figure,
    scatter,
)

LINES = {"one": Curve([0, 1], [0.2, 0.4], [0.1, 0.3], [0.3, 0.5]), "a <b> & c": Curve([0, 1], [0.5, 0.1])}


def written(figure, folder, name="figure"):
    svg, png = save_figure(figure, folder / "deep" / name)
    assert (svg.suffix, png.suffix) == (".svg", ".png")
    with Image.open(png) as image:
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 10
    return svg.read_text(encoding="utf-8")


def test_curves_say_what_they_show(tmp_path):
    text = written(curves({"low": LINES, "high": {"one": LINES["one"]}}, AxisLabels("Depth", "layer", "R²")), tmp_path)
    for word in ("Depth", "low", "high", "layer", "R²", "one", "a &lt;b&gt; &amp; c"):
        assert f">{word}<" in text
    assert "<b>" not in text
    assert text.count(">one<") == 1  # one legend for both panels


def test_rows_of_curves_each_have_their_quantity():
    figure = curve_rows({"accuracy": {"a": LINES, "b": LINES}, "ECE": {"a": LINES}}, AxisLabels("t", "severity"))
    assert [(axes.get_title(), axes.get_ylabel()) for axes in figure.axes] == [
        ("a", "accuracy"), ("b", ""), ("a", "ECE"),
    ]  # fmt: skip
    bottoms = [axes.get_subplotspec().rowspan.start for axes in figure.axes]
    assert bottoms == [0, 0, 1]


def test_the_same_figure_is_the_same_bytes(tmp_path):
    first, second = (written(curves({"p": LINES}, AxisLabels("t")), tmp_path, name) for name in ("a", "b"))
    assert first == second


def test_a_name_with_a_dot_keeps_it(tmp_path):
    svg, png = save_figure(curves({"p": LINES}, AxisLabels()), tmp_path / "cka-mini.digits")
    assert (svg.name, png.name) == ("cka-mini.digits.svg", "cka-mini.digits.png")


def test_a_heat_map_shows_its_numbers_and_leaves_what_is_missing_white(tmp_path):
    values = np.array([[1.0, 0.25], [np.nan, 0.5]])
    text = written(heat_map(values, ["a", "b"], ["c", "d"], AxisLabels("CKA")), tmp_path)
    assert all(f">{shown}<" in text for shown in ("1.00", "0.25", "0.50", "a", "d", "CKA"))
    assert "nan" not in text.lower().replace("sans", "")


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="not 1 × 2"):
        heat_map(np.zeros((2, 2)), ["a"], ["b", "c"], AxisLabels())


def test_points_are_named(tmp_path):
    text = written(scatter({"LogME": {"m1": (1, 2), "m2": (2, 1)}}, AxisLabels("", "score", "accuracy")), tmp_path)
    assert all(f">{word}<" in text for word in ("LogME", "m1", "m2", "score", "accuracy"))


def test_matplotlib_keeps_its_own_settings(tmp_path):
    before = dict(matplotlib.rcParams)
    written(curves({"p": LINES}, AxisLabels()), tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"for figures.*transferkit\[report\]"):
        curves({"p": LINES}, AxisLabels())


def test_rows_of_pictures_bear_their_names(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    figure = picture_rows({"original": pixels, "m layer1": pixels[:, ::-1]}, AxisLabels("mini/photos"))
    first = figure.axes[0].get_images()[0].get_array()
    np.testing.assert_array_equal(first[:, 8:], pixels[1].transpose(1, 2, 0))
    text = written(figure, tmp_path)
    assert all(f">{word}<" in text for word in ("original", "m", "layer1", "mini/photos"))
