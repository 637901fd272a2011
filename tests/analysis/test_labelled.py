import numpy as np
import pytest
import torch

from transferkit.analysis.labelled import labelled, matrix
from transferkit.core.errors import DataError, NonFiniteError, ShapeError

NAN = [[1.0, 2.0], [np.nan, 0.0], [0.0, np.inf]]


def test_classes_are_numbered_without_gaps():
    rows = labelled(np.arange(8).reshape(4, 2), [7, -1, 7, 900])
    assert rows.y.tolist() == [1, 0, 1, 2]
    assert rows.count.tolist() == [1, 2, 1]
    assert rows.means(rows.x).tolist() == [[2, 3], [2, 3], [6, 7]]


@pytest.mark.parametrize("x", [np.ones((2, 3), np.float16), torch.ones(2, 3), [[1, 1, 1]] * 2])
def test_anything_real_is_read_as_float64(x):
    assert matrix(x).dtype == np.float64
    assert matrix(x).tolist() == [[1, 1, 1]] * 2


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.ones(3), ShapeError, r"Features must be .*, not \[3\]"),
        (np.ones((0, 3)), ShapeError, r"not \[0, 3\]"),
        (np.ones((3, 0)), ShapeError, r"not \[3, 0\]"),
        (NAN, NonFiniteError, "in 2 of 3 rows, first in row 1"),
    ],
)
def test_what_is_no_finite_matrix_is_refused(x, error, words):
    with pytest.raises(error, match=words):
        matrix(x)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ([0, 1], ShapeError, r"3 rows need .* not int64 \[2\]"),
        ([[0], [1], [1]], ShapeError, r"not int64 \[3, 1\]"),
        ([0.0, 1.0, 1.0], ShapeError, r"not float64 \[3\]"),
        ([4, 4, 4], DataError, "All 3 rows are of 1 class: this needs at least 2"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, error, words):
    with pytest.raises(error, match=words):
        labelled(np.ones((3, 2)), labels, least=2)
