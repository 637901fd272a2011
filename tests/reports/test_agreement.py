from transferkit.protocols.analyses.transferability import ScoreAccuracy
from transferkit.reports.agreement import agreement_figures


def test_every_pair_is_a_point_of_its_data_and_protocol():
    pairs = [
        ScoreAccuracy("d", "a", "l", "logme", 1.0, "linear", 0.4),
        ScoreAccuracy("d", "b", "l", "logme", 2.0, "linear", 0.7),
        ScoreAccuracy("d", "b", "l", "logme", 2.0, "finetune", 0.9),
    ]
    figures = agreement_figures(pairs)
    assert list(figures) == ["d-linear", "d-finetune"]
    (axes,) = figures["d-linear"].axes
    assert axes.get_title() == "logme"
    points = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert points == {"a l": [[1.0, 0.4]], "b l": [[2.0, 0.7]]}
    (line,) = figures["d-finetune"].axes[0].get_lines()
    assert line.get_xydata().tolist() == [[2.0, 0.9]]


def test_without_accuracies_there_is_nothing_to_draw():
    assert agreement_figures([]) == {}
