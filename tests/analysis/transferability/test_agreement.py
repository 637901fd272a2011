import numpy as np
import pytest

from transferkit.analysis.transferability.agreement import RankCorrelation, rank_correlation
from transferkit.core.errors import NonFiniteError, ShapeError


def weighted_tau(a, b):
    """Pair by pair: a pair weighs 1/(r+1) of both its ranks from the best; the mean of ranking by a and b."""
    values = []
    for first, second in ((a, b), (b, a)):
        order = sorted(range(len(a)), key=lambda i: (-first[i], -second[i]))
        rank = {i: r for r, i in enumerate(order)}
        agree = total = 0.0
        for i in range(len(a)):
            for j in range(i):
                weight = 1 / (rank[i] + 1) + 1 / (rank[j] + 1)
                agree += weight * np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])
                total += weight
        values.append(agree / total)
    return sum(values) / 2


def test_agrees_with_the_definition():
    scores, accuracies = [0.3, -1.0, 0.8, 0.1, 0.5], [70.0, 55.0, 72.0, 71.0, 60.0]
    found = rank_correlation(scores, accuracies)
    assert found.models == 5
    assert found.value == pytest.approx(weighted_tau(scores, accuracies))


def test_only_the_order_counts():
    scores, accuracies = np.array([0.3, -1.0, 0.8, 0.1]), np.array([70.0, 55.0, 72.0, 71.0])
    assert rank_correlation(np.exp(scores), accuracies / 100) == rank_correlation(scores, accuracies)


def test_opposite_orders_are_minus_one():
    assert rank_correlation([1, 2, 3, 4], [9, 8, 7, 6]).value == pytest.approx(-1)


def test_a_mistake_among_the_best_costs_more():
    accuracies = [4, 3, 2, 1]
    best, worst = rank_correlation([3, 4, 2, 1], accuracies), rank_correlation([4, 3, 1, 2], accuracies)
    assert best.value < worst.value < 1


@pytest.mark.parametrize(
    ("scores", "accuracies"), [([], []), ([1, 2], [1, 2]), ([5, 5, 5], [1, 2, 3]), ([1, 2, 3], [7, 7, 7])]
)
def test_too_few_or_equal_models_have_no_correlation(scores, accuracies):
    assert rank_correlation(scores, accuracies) == RankCorrelation(None, len(scores))


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(ShapeError, match=r"not \[3\] and \[2\]"):
        rank_correlation([1, 2, 3], [1, 2])
    with pytest.raises(NonFiniteError, match="score or accuracy is NaN"):
        rank_correlation([1, 2, np.nan], [1, 2, 3])
