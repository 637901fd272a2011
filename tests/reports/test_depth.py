import numpy as np
import pytest

from tests.reports.records import record
from transferkit.reports.depth import MAX_PANELS, depth_figure, depth_table, semantic_table


def test_each_model_has_one_curve_from_the_first_layer_to_the_last():
    records = [
        record(model, "d", value, half=0.1, layer=layer)
        for model, values in (("m", (0.1, 0.4)), ("n", (0.2, 0.3, 0.6, 0.5)))
        for layer, value in zip("abcd", values, strict=False)
    ]
    (axes,) = depth_figure(records, "accuracy").axes
    assert axes.get_title() == "d"
    assert axes.get_ylabel() == "accuracy"
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert lines == {
        "m": [[0.5, 0.1], [1.0, 0.4]],
        "n": [[0.25, 0.2], [0.5, 0.3], [0.75, 0.6], [1.0, 0.5]],
    }


def test_panels_are_chosen_by_the_caller_and_are_not_too_many():
    records = [record("m", f"d{i}", 0.5, settings={"level": "low" if i % 2 else "mid"}) for i in range(9)]
    assert len(depth_figure(records, "y").axes) == MAX_PANELS
    by_level = depth_figure(records, "y", panel=lambda r: r.settings["level"])
    assert [axes.get_title() for axes in by_level.axes] == ["mid", "low"]


def test_data_sets_of_one_panel_are_averaged_with_the_interval_of_the_mean():
    records = [record("m", data, value, half=0.3) for data, value in (("d", 0.2), ("e", 0.4), ("f", 0.9))]
    (axes,) = depth_figure(records, "y", panel=lambda r: "all").axes
    (line,) = axes.get_lines()
    assert line.get_xydata().tolist() == [[1.0, pytest.approx(0.5)]]
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.5 - 0.3 / np.sqrt(3), 0.5 + 0.3 / np.sqrt(3)))


def test_the_semantic_table_has_one_row_per_layer_and_one_column_per_level():
    def semantic(layer, level, value, **extra_metrics):
        return record("m", "d", value, half=0.1, layer=layer, settings={"level": level}, extra_metrics=extra_metrics)

    records = [
        semantic("a", "low", 0.25, normalised=-0.5),
        semantic("a", "high", 0.5),
        semantic("b", "low", 0.75, normalised=0.125),
    ]
    rows = [line.split() for line in semantic_table(records).text(120).splitlines()]
    assert ["model", "layer", "low", "high"] in rows
    assert ["m", "a", "0.250", "±0.100", "(-0.50)", "0.500", "±0.100"] in rows
    assert ["m", "b", "0.750", "±0.100", "(+0.12)", "–"] in rows


def test_the_depth_table_has_one_row_per_layer_with_the_mean_over_data_sets():
    results = [record("[a]", data, value, layer="one") for data, value in (("x", 0.4), ("y", 0.6))]
    results.append(record("b", "x", 0.7, layer="two"))
    title, head, _, one, two = depth_table(results, title="over [red]depth").text(120).splitlines()
    assert title == "over [red]depth"
    assert [head.split(), one.split(), two.split()] == [
        ["layer", "[a]", "b"],
        ["one", "0.500", "–"],
        ["two", "–", "0.700"],
    ]


def test_layers_of_networks_that_share_only_the_last_are_sorted_by_depth():
    layers = {
        "deep": ("blocks.0", "blocks.1", "blocks.2", "pool"),
        "short": ("conv", "pool"),
        "flat": ("pixels",),
    }
    results = [record(model, "x", 0.5, layer=layer) for model, names in layers.items() for layer in names]
    assert [row[0] for row in depth_table(results, title="").rows] == [
        "blocks.0",
        "blocks.1",
        "conv",
        "blocks.2",
        "pool",
        "pixels",
    ]
