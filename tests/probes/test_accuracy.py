import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from transferkit.core.errors import ShapeError, UsageError
from transferkit.core.seeding import generator
from transferkit.probes.accuracy import mean_per_class_accuracy, ranks, top_k_accuracy

RNG = generator(0, "accuracy")
SCORES = RNG.normal(size=(200, 7))
LABELS = RNG.integers(7, size=200)


@pytest.mark.parametrize("k", [1, 3, 5, 7, 9])
def test_top_k_agrees_with_scikit_learn(k):
    theirs = top_k_accuracy_score(LABELS, SCORES, k=min(k, 6), labels=range(7)) if k < 7 else 1.0
    assert top_k_accuracy(SCORES, LABELS, k=k) == pytest.approx(theirs)


def test_mean_per_class_agrees_with_scikit_learn():
    theirs = balanced_accuracy_score(LABELS, SCORES.argmax(1))
    assert mean_per_class_accuracy(SCORES, LABELS) == pytest.approx(theirs)


def test_a_class_without_rows_takes_no_part():
    labels = np.where(LABELS == 3, 2, LABELS)
    by_hand = np.mean([(SCORES.argmax(1)[labels == c] == c).mean() for c in (0, 1, 2, 4, 5, 6)])
    assert mean_per_class_accuracy(SCORES, labels) == pytest.approx(by_hand)


def test_mean_per_class_weighs_classes_alike():
    scores = np.array([[1.0, 0]] * 10)
    assert mean_per_class_accuracy(scores, np.array([0] * 9 + [1])) == 0.5
    assert top_k_accuracy(scores, np.array([0] * 9 + [1]), k=1) == 0.9


def test_order_of_rows_does_not_matter():
    order = RNG.permutation(200)
    assert_allclose(mean_per_class_accuracy(SCORES[order], LABELS[order]), mean_per_class_accuracy(SCORES, LABELS))


def test_ties_go_to_the_class_that_comes_first():
    assert ranks(np.zeros((3, 3)), np.array([0, 1, 2])).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "at least one row"),
        (np.zeros(3), np.zeros(3, int), r"not \[3\] and \[3\]"),
        (np.zeros((3, 2)), np.zeros(2, int), r"not \[3, 2\] and \[2\]"),
        (np.zeros((2, 2)), np.array([0, 2]), "0 … 1"),
        (np.zeros((2, 2)), np.array([0, -1]), "0 … 1"),
    ],
)
def test_scores_and_labels_that_do_not_fit_are_refused(scores, labels, words):
    with pytest.raises(ShapeError, match=words):
        ranks(scores, labels)


def test_top_of_nothing_is_refused():
    with pytest.raises(UsageError, match="k=0 is invalid"):
        top_k_accuracy(SCORES, LABELS, k=0)
