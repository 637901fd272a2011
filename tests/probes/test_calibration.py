import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import brier_score_loss, log_loss

from tests.reference import calibration as reference
from transferkit.core.errors import ShapeError, UsageError
from transferkit.core.seeding import generator
from transferkit.probes.calibration import (
    BINS,
    SMALLEST,
    brier_score,
    calibration,
    expected_calibration_error,
    fitted_temperature,
    negative_log_likelihood,
    reliability,
    tempered,
)

RNG = generator(0, "calibration")
PROBABILITIES = RNG.dirichlet(np.full(4, 0.4), size=300)
LABELS = RNG.integers(4, size=300)


def adaptive_calibration_error(probabilities, labels, *, bins=BINS):
    return expected_calibration_error(probabilities, labels, bins=bins, equal="mass")


METRICS = (
    expected_calibration_error,
    adaptive_calibration_error,
    negative_log_likelihood,
    brier_score,
)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_ece_agrees_with_the_reference(bins):
    found = expected_calibration_error(PROBABILITIES, LABELS, bins=bins)
    assert found == pytest.approx(reference.expected_calibration_error(PROBABILITIES, LABELS, bins))


def test_edges_of_bins_belong_to_the_bin_below():
    probabilities = np.array([[0.5, 0.5], [0.625, 0.375], [1.0, 0.0]])
    labels = np.array([1, 0, 0])  # gaps of −0.5 and 0.375 in neighbouring bins; in one they would cancel
    found = expected_calibration_error(probabilities, labels, bins=4)
    assert found == pytest.approx(reference.expected_calibration_error(probabilities, labels, 4))
    assert found == pytest.approx((0.5 + 0.375 + 0) / 3)


def test_nll_and_brier_agree_with_reference_and_scikit_learn():
    assert negative_log_likelihood(PROBABILITIES, LABELS) == pytest.approx(
        reference.negative_log_likelihood(PROBABILITIES, LABELS)
    )
    assert negative_log_likelihood(PROBABILITIES, LABELS) == pytest.approx(log_loss(LABELS, PROBABILITIES))
    assert brier_score(PROBABILITIES, LABELS) == pytest.approx(reference.brier_score(PROBABILITIES, LABELS))
    binary, truth = PROBABILITIES[:, :2] / PROBABILITIES[:, :2].sum(1, keepdims=True), LABELS % 2
    assert brier_score(binary, truth) == pytest.approx(2 * brier_score_loss(truth, binary[:, 1]))


@pytest.mark.parametrize("metric", METRICS)
def test_order_of_rows_does_not_matter(metric):
    order = RNG.permutation(300)
    assert_allclose(metric(PROBABILITIES[order], LABELS[order]), metric(PROBABILITIES, LABELS))


MANY = np.tile(PROBABILITIES, (30, 1))
HONEST = (MANY.cumsum(1) < generator(0, "honest").random((len(MANY), 1))).sum(1).clip(max=3)


def test_honest_probabilities_are_calibrated():
    assert expected_calibration_error(MANY, HONEST) < 0.02
    assert adaptive_calibration_error(MANY, HONEST) < 0.02
    assert fitted_temperature(MANY, HONEST) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("metric", METRICS)
def test_certainty_that_is_right_costs_nothing(metric):
    assert metric(np.eye(4)[LABELS], LABELS) == 0


def test_certainty_that_is_wrong_stays_finite():
    wrong = np.eye(4)[(LABELS + 1) % 4]
    assert expected_calibration_error(wrong, LABELS) == 1
    assert brier_score(wrong, LABELS) == 2
    assert negative_log_likelihood(wrong, LABELS) == pytest.approx(36.04, abs=0.01)


def test_scores_that_are_no_distributions_are_refused():
    bad = PROBABILITIES.copy()
    bad[7] *= 2
    for metric in METRICS:
        with pytest.raises(ShapeError, match="Row 7 is not a distribution: it sums to 2"):
            metric(bad, LABELS)
    with pytest.raises(ShapeError, match="Row 0 is not a distribution"):
        brier_score(np.array([[1.5, -0.5]]), np.array([0]))


def test_no_bins_are_refused():
    with pytest.raises(UsageError, match="0 bins"):
        expected_calibration_error(PROBABILITIES, LABELS, bins=0)
    with pytest.raises(UsageError, match="0 bins"):
        reliability(PROBABILITIES, LABELS, bins=0, equal="mass")


@pytest.mark.parametrize("bins", [1, 7, 15, 299, 1000])
@pytest.mark.parametrize("tied", [False, True])
def test_adaptive_ece_agrees_with_the_reference(bins, tied):
    probabilities = PROBABILITIES.round(1) if tied else PROBABILITIES
    probabilities = probabilities / probabilities.sum(1, keepdims=True)
    found = adaptive_calibration_error(probabilities, LABELS, bins=bins)
    assert found == pytest.approx(reference.adaptive_calibration_error(probabilities, LABELS, bins))


def test_bins_of_equal_mass_hold_as_many_rows_but_for_equals():
    assert reliability(PROBABILITIES, LABELS, bins=15, equal="mass").count == (20,) * 15
    assert reliability(np.full((30, 2), 0.5), np.zeros(30, int), bins=15, equal="mass").count == (30,)
    order = RNG.permutation(300)
    rounded = np.eye(4)[LABELS] * 0.5 + 0.125
    assert adaptive_calibration_error(rounded[order], LABELS[order]) == adaptive_calibration_error(rounded, LABELS)


@pytest.mark.parametrize("bins", [1, 15])
def test_the_curve_agrees_with_the_reference(bins):
    curve = reliability(PROBABILITIES, LABELS, bins=bins)
    by_hand = reference.curve(PROBABILITIES, LABELS, bins)
    assert_allclose(np.transpose([curve.confidence, curve.accuracy, curve.count]), by_hand)
    assert sum(curve.count) == 300
    assert set(curve.to_json()) == {"confidence", "accuracy", "count"}


def test_the_summary_holds_every_metric():
    found = calibration(PROBABILITIES, LABELS)
    assert found == {
        "nll": negative_log_likelihood(PROBABILITIES, LABELS),
        "brier": brier_score(PROBABILITIES, LABELS),
        "ece": expected_calibration_error(PROBABILITIES, LABELS),
        "adaptive_ece": adaptive_calibration_error(PROBABILITIES, LABELS),
        "reliability": reliability(PROBABILITIES, LABELS).to_json(),
    }
    bad = PROBABILITIES * 2
    with pytest.raises(ShapeError, match="Row 0 is not a distribution"):
        calibration(bad, LABELS)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_tempering_divides_logits(temperature):
    found = tempered(PROBABILITIES, temperature)
    assert_allclose(found, reference.scaled(PROBABILITIES.clip(SMALLEST), temperature), rtol=1e-9)
    assert_allclose(tempered(found, 1 / temperature), PROBABILITIES, atol=1e-9)
    assert (found.argmax(1) == PROBABILITIES.argmax(1)).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_is_above_0(temperature):
    with pytest.raises(UsageError, match="must be above 0"):
        tempered(PROBABILITIES, temperature)


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 4.0])
def test_the_fitted_temperature_is_where_the_reference_finds_it(sharpness):
    probabilities = tempered(PROBABILITIES[:80], 1 / sharpness).clip(1e-9)
    labels = HONEST[:80]
    found = fitted_temperature(probabilities, labels)
    assert found == pytest.approx(reference.best_temperature(probabilities, labels), rel=1e-5)
    slope = [negative_log_likelihood(tempered(probabilities, found * (1 + step)), labels) for step in (-1e-3, 0, 1e-3)]
    assert slope[1] == min(slope)


def test_the_temperature_is_found_in_few_steps(monkeypatch):
    from transferkit.probes import calibration as module

    moments, calls = module._moments, []
    monkeypatch.setattr(module, "_moments", lambda z, beta: calls.append(beta) or moments(z, beta))
    assert fitted_temperature(PROBABILITIES, HONEST[:300]) is not None
    assert len(calls) < 12  # halving alone would take about 40


@pytest.mark.parametrize("temperature", [0.25, 2.0, 5.0])
def test_a_known_temperature_is_recovered(temperature):
    softened = PROBABILITIES.clip(0.01) / PROBABILITIES.clip(0.01).sum(1, keepdims=True)  # no zeros to clip
    probabilities = np.tile(softened, (30, 1))
    labels = (probabilities.cumsum(1) < generator(0, "known").random((9000, 1))).sum(1).clip(max=3)
    found = fitted_temperature(tempered(probabilities, 1 / temperature), labels)
    assert found == pytest.approx(temperature * fitted_temperature(probabilities, labels), rel=1e-5)
    assert found == pytest.approx(temperature, rel=0.05)


def test_tempering_makes_overconfident_probabilities_honest():
    sharp = tempered(MANY, 0.3)
    before = calibration(sharp, HONEST)
    after = calibration(tempered(sharp, fitted_temperature(sharp, HONEST)), HONEST)
    assert before["ece"] > 0.1 > 5 * after["ece"]
    assert after["nll"] < before["nll"]


def test_order_of_rows_and_classes_does_not_change_the_temperature():
    rows, classes = RNG.permutation(300), np.array([2, 0, 3, 1])
    turned = PROBABILITIES[rows][:, classes]
    found = fitted_temperature(turned, np.argsort(classes)[HONEST[:300][rows]])
    assert found == pytest.approx(fitted_temperature(PROBABILITIES, HONEST[:300]), rel=1e-6)


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (PROBABILITIES, PROBABILITIES.argmax(1)),
        (PROBABILITIES, PROBABILITIES.argmin(1)),
        (np.array([[0.7, 0.3]]), np.array([0])),
        (np.ones((5, 1)), np.zeros(5, int)),
        (np.full((6, 3), 1 / 3), np.array([0, 1, 2, 0, 1, 2])),
        (np.eye(4)[LABELS], LABELS),
    ],
    ids=["all right", "worse than guessing", "one row", "one class", "flat", "certain and right"],
)
def test_where_no_temperature_is_best_there_is_none(probabilities, labels):
    assert fitted_temperature(probabilities, labels) is None


def test_probabilities_of_0_have_a_temperature():
    probabilities = np.eye(4)[np.where(np.arange(300) % 10, LABELS, (LABELS + 1) % 4)]  # one in ten is wrong
    found = fitted_temperature(probabilities, LABELS)
    honest = tempered(probabilities, found).max(1)
    assert_allclose(honest, 0.9, atol=1e-6)  # the confidence that the accuracy allows
    assert expected_calibration_error(tempered(probabilities, found), LABELS) == pytest.approx(0, abs=1e-6)


def test_one_row_has_a_curve():
    assert reliability(np.array([[0.7, 0.3]]), np.array([1])).to_json() == {
        "confidence": [0.7],
        "accuracy": [0.0],
        "count": [1],
    }


def test_a_temperature_is_fitted_to_distributions():
    with pytest.raises(ShapeError, match="Row 0 is not a distribution"):
        fitted_temperature(2 * PROBABILITIES, LABELS)
