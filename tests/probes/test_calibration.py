import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import brier_score_loss, log_loss

from tests.reference import calibration as reference
from transferkit.core.errors import ShapeError, UsageError
from transferkit.core.seeding import generator
from transferkit.probes.calibration import brier_score, expected_calibration_error, negative_log_likelihood

RNG = generator(0, "calibration")
PROBABILITIES = RNG.dirichlet(np.full(4, 0.4), size=300)
LABELS = RNG.integers(4, size=300)
METRICS = (expected_calibration_error, negative_log_likelihood, brier_score)


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


def test_honest_probabilities_are_calibrated():
    labels = np.array([generator(0, i).choice(4, p=p) for i, p in enumerate(np.tile(PROBABILITIES, (30, 1)))])
    assert expected_calibration_error(np.tile(PROBABILITIES, (30, 1)), labels) < 0.02


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
        with pytest.raises(ShapeError, match="Row 7 is no distribution: it sums to 2"):
            metric(bad, LABELS)
    with pytest.raises(ShapeError, match="Row 0 is no distribution"):
        brier_score(np.array([[1.5, -0.5]]), np.array([0]))


def test_no_bins_are_refused():
    with pytest.raises(UsageError, match="0 bins"):
        expected_calibration_error(PROBABILITIES, LABELS, bins=0)
