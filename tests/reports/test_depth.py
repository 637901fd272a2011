from tests.reports.records import record
from transferkit.reports.depth import MOST_PANELS, depth_figure


def test_one_curve_a_model_from_the_first_layer_to_the_last():
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
    assert len(depth_figure(records, "y").axes) == MOST_PANELS
    by_level = depth_figure(records, "y", panel=lambda r: r.settings["level"])
    assert [axes.get_title() for axes in by_level.axes] == ["mid", "low"]
