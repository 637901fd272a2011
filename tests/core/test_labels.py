import numpy as np
import pytest

from transferkit.core.errors import DataError, ShapeError
from transferkit.core.features import Features, concatenate
from transferkit.core.labels import (
    class_counts,
    class_name,
    class_numbers,
    is_multilabel,
    members,
    require_labels,
    require_one_label,
    stratify_labels,
)

CLASSES = ("cat", "dog", "sofa")
ONE = np.array([0, 2, 2, 0])
SEVERAL = np.array([[1, -1, 1], [0, -1, -1], [-1, -1, -1], [1, 0, 0]])


def test_both_forms_are_counted_and_named():
    assert (is_multilabel(ONE), is_multilabel(SEVERAL)) == (False, True)
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
    assert stratify_labels(ONE).tolist() == ONE.tolist()
    assert stratify_labels(SEVERAL).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (SEVERAL[:, :2], r"are \[n, 3\] of 1, 0 and -1, not \[4, 2\] in -1 … 1"),
        (SEVERAL * 2, r"not \[4, 3\] in -2 … 2"),
        (ONE + 1, r"must be in 0 … 2"),
        (ONE - 1, r"must be in 0 … 2"),
    ],
)
def test_invalid_labels_are_rejected(labels, words):
    require_labels(ONE, 3)
    require_labels(SEVERAL, 3)
    require_labels(SEVERAL[:0], 3)
    with pytest.raises(ShapeError, match=words):
        require_labels(labels, 3)


def test_multiple_labels_are_rejected_where_one_is_needed():
    require_one_label(ONE, data="d", what="that", instead="This.")
    with pytest.raises(
        DataError, match=r"^d has several labels per image, but that needs one label per image\. This\.$"
    ):
        require_one_label(SEVERAL, data="d", what="that", instead="This.")


def test_features_carry_several_labels():
    rows = Features(np.zeros((4, 2), np.float32), SEVERAL, list("abcd"), CLASSES)
    assert rows.rows(np.array([3, 0])).labels.tolist() == SEVERAL[[3, 0]].tolist()
    assert concatenate([rows, rows], split="both").labels.shape == (8, 3)
    with pytest.raises(ShapeError, match=r"labels \[n\] or \[n, c\], not \[4, 2\] and \[3, 3\]"):
        Features(np.zeros((4, 2), np.float32), SEVERAL[:3], list("abcd"), CLASSES)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64", ">i4", "<i8"])
def test_integers_of_any_type_are_classes(dtype):
    found = class_numbers(ONE.astype(dtype))
    assert found.dtype == np.dtype(np.int64)
    assert found.tolist() == ONE.tolist()
    rows = Features(np.zeros((4, 2), np.float32), ONE.astype(dtype), list("abcd"), CLASSES)
    assert rows.labels.dtype == np.dtype(np.int64)


def test_booleans_are_the_classes_1_and_0_and_int64_is_not_copied():
    assert class_numbers(ONE > 0).tolist() == [0, 1, 1, 0]
    assert class_numbers(ONE) is ONE
    assert class_numbers([2, 0]).tolist() == [2, 0]
    assert class_numbers([]).dtype == np.dtype(np.int64)
    assert class_numbers(SEVERAL.astype(np.int8)).tolist() == SEVERAL.tolist()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (
            ONE.astype(float),
            r"type float64 \(.*0\.0.*, …\): they must be integers 0 … c-1\. Convert them with",
        ),
        (ONE + 0.5, r"measurements or missing values: leave such rows out, or number the classes\."),
        (np.full(4, np.nan), r"nan.* measurements or missing"),
        (ONE * 1j, r"complex128.* measurements or missing"),
        (np.array(["cat", "dog"]), r"'cat'.*Number them with classes, labels = numpy\.unique"),
        (np.array(["cat", None], object), r"type object.*Number them with"),
        (SEVERAL > 0, r"bool has no -1: convert them with numpy\.where\(labels, 1, -1\)\."),
        ((SEVERAL > 0).astype(np.uint8), r"uint8 has no -1"),
    ],
)
def test_labels_of_an_invalid_type_are_rejected(labels, words):
    with pytest.raises(DataError, match=words):
        class_numbers(labels)
    with pytest.raises(DataError, match=words):
        Features(np.zeros((len(labels), 2), np.float32), labels, list("abcd")[: len(labels)], CLASSES)
