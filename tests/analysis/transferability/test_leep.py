import numpy as np
import pytest

from tests.reference import transferability as reference
from transferkit.analysis.transferability.leep import leep, nce, nleep
from transferkit.core.errors import ShapeError
from transferkit.core.seeding import generator


def example(n=40, s=6, c=3):
    rng = generator(0, "leep", n)
    y = rng.permutation(np.arange(n) % c)
    logits = 2 * rng.normal(size=(n, s)) + np.eye(c, s)[y]
    theta = np.exp(logits)
    theta[:, -1] = 0  # a source class that no row takes for possible
    return theta / theta.sum(1, keepdims=True), y


@pytest.mark.parametrize(("ours", "theirs"), [(leep, reference.leep), (nce, reference.nce)])
def test_agrees_with_plain_loops(ours, theirs):
    theta, y = example()
    assert ours(theta, y) == pytest.approx(theirs(theta.tolist(), y.tolist()))


def test_sure_models_make_both_the_same():
    _, y = example()
    theta = np.eye(6)[generator(0, "sure").integers(6, size=40)]
    assert leep(theta, y) == pytest.approx(nce(theta, y))


def test_a_source_class_a_label_says_all_and_one_for_all_says_the_entropy():
    y = np.arange(30) % 3
    entropy = -np.log(3)
    assert leep(np.eye(3)[y], y) == pytest.approx(0)
    assert nce(np.eye(3)[y], y) == pytest.approx(0)
    for score in (leep, nce):
        assert score(np.full((30, 4), 0.25), y) == pytest.approx(entropy)


def test_order_of_source_classes_and_duplication_do_not_matter():
    theta, y = example()
    for score in (leep, nce):
        assert score(theta[:, ::-1], y) == pytest.approx(score(theta, y))
        assert score(np.repeat(theta, 3, 0), np.repeat(y, 3)) == pytest.approx(score(theta, y))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0.5, 0.9, 0.0], "Row 1 is not a distribution: its sum is 1.4 and its minimum is 0. Give the softmax"),
        ([1.5, -0.5, 0.0], "its sum is 1 and its minimum is -0.5"),
        ([0.0, 0.0, 0.0], "its sum is 0"),
    ],
)
@pytest.mark.parametrize("score", [leep, nce])
def test_logits_are_refused(score, row, words):
    theta = np.array([[1.0, 0.0, 0.0], row, [0.0, 1.0, 0.0]])
    with pytest.raises(ShapeError, match=words):
        score(theta, [0, 1, 1])


def test_half_precision_of_a_thousand_classes_is_still_a_distribution():
    theta = generator(0, "wide").dirichlet(np.full(1000, 0.1), size=20).astype(np.float16)
    assert np.isfinite(leep(theta, np.arange(20) % 2))


def test_clusters_that_are_the_classes_say_all():
    y = np.arange(300) % 3
    x = 100 * np.eye(3)[y] + generator(0, "clusters").normal(size=(300, 3))
    assert nleep(x, y, rng=generator(0, "start")) == pytest.approx(0, abs=1e-6)


def test_unrelated_clusters_say_little_more_than_the_entropy():
    x = generator(0, "noise").normal(size=(2000, 4))
    value = nleep(x, np.arange(2000) % 2, rng=generator(0, "start"))
    assert -np.log(2) <= value < -np.log(2) + 0.02
