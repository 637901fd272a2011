import numpy as np
import pytest

from transferkit.core.errors import DataError, ShapeError
from transferkit.core.features import Features, concatenate
from transferkit.core.labels import (
    class_counts,
    class_name,
    members,
    require_labels,
    require_one_label,
    several,
    strata,
)

CLASSES = ("cat", "dog", "sofa")
ONE = np.array([0, 2, 2, 0])
SEVERAL = np.array([[1, -1, 1], [0, -1, -1], [-1, -1, -1], [1, 0, 0]])


def test_both_forms_are_counted_and_named():
    assert (several(ONE), several(SEVERAL)) == (False, True)
    assert class_counts(ONE, 3).tolist() == [2, 0, 2]
    assert class_counts(SEVERAL, 3).tolist() == [2, 0, 1]
    assert members(ONE, 2).tolist() == [1, 2]
    assert members(SEVERAL, 0).tolist() == [0, 3]
    assert [class_name(ONE, row, CLASSES) for row in range(4)] == ["cat", "sofa", "sofa", "cat"]
    assert [class_name(SEVERAL, row, CLASSES) for row in range(4)] == [
        "cat+sofa",
        "no class",
        "no class",
        "cat",
    ]
    assert strata(ONE).tolist() == ONE.tolist()
    assert strata(SEVERAL).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (SEVERAL[:, :2], r"are \[n, 3\] of 1, 0 and -1, not \[4, 2\] in -1 … 1"),
        (SEVERAL * 2, r"not \[4, 3\] in -2 … 2"),
        (ONE + 1, r"must lie in 0 … 2"),
        (ONE - 1, r"must lie in 0 … 2"),
    ],
)
def test_labels_that_are_none(labels, words):
    require_labels(ONE, 3)
    require_labels(SEVERAL, 3)
    require_labels(SEVERAL[:0], 3)
    with pytest.raises(ShapeError, match=words):
        require_labels(labels, 3)


def test_one_label_is_needed():
    require_one_label(ONE, data="d", what="that", instead="This.")
    with pytest.raises(
        DataError, match=r"^d has several labels an image, and that needs one label an image\. This\.$"
    ):
        require_one_label(SEVERAL, data="d", what="that", instead="This.")


def test_features_carry_several_labels():
    rows = Features(np.zeros((4, 2), np.float32), SEVERAL, list("abcd"), CLASSES)
    assert rows.rows(np.array([3, 0])).labels.tolist() == SEVERAL[[3, 0]].tolist()
    assert concatenate([rows, rows], split="both").labels.shape == (8, 3)
    with pytest.raises(ShapeError, match=r"labels \[n\] or \[n, c\], not \[4, 2\] and \[3, 3\]"):
        Features(np.zeros((4, 2), np.float32), SEVERAL[:3], list("abcd"), CLASSES)
