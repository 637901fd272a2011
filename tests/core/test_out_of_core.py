from dataclasses import replace

import numpy as np
import pytest

from transferkit.core.out_of_core import Blocks, chunks, stacked

X = np.arange(40, dtype=np.float16).reshape(10, 4)


def blocks(x=X, cuts=(3, 4, 4)):
    """``x`` in uneven pieces, one of them empty."""
    return Blocks(x.shape, x.dtype, lambda: iter(np.split(x, cuts)))


def test_asarray_returns_the_array():
    np.testing.assert_array_equal(np.asarray(blocks()), X)
    assert np.asarray(blocks()).dtype == np.float16
    assert np.asarray(blocks(), dtype=np.float64).dtype == np.float64
    assert (len(blocks()), blocks().ndim, blocks().shape) == (10, 2, (10, 4))


@pytest.mark.parametrize("rows", [1, 2, 5, 100])
@pytest.mark.parametrize("x", [X, blocks()], ids=["array", "blocks"])
def test_chunks_are_all_rows_in_order_within_the_limit(x, rows):
    parts = list(chunks(x, rows))
    np.testing.assert_array_equal(np.concatenate(parts), X)
    assert max(map(len, parts)) <= rows


@pytest.mark.parametrize("index", [[0, 2, 3, 9], [4], [2, 2, 7, 7, 7], list(range(10))])
def test_ascending_rows_stay_blocks(index):
    part = blocks()[np.array(index)]
    assert isinstance(part, Blocks)
    assert part.shape == (len(index), 4)
    np.testing.assert_array_equal(np.asarray(part), X[index])


@pytest.mark.parametrize("index", [[2, 0], [5, 5, 1], [9, 0, 3]])
def test_other_rows_are_an_array(index):
    np.testing.assert_array_equal(blocks()[np.array(index)], X[index])


def test_an_empty_index_selects_no_rows():
    empty = blocks()[np.array([], dtype=int)]
    assert np.asarray(empty).shape == (0, 4)
    assert list(chunks(X[:0], 3)) == []


def test_blocks_are_read_only_during_iteration():
    read = []

    def pieces():
        for part in np.split(X, (3, 6)):
            read.append(len(part))
            yield part

    x = replace(blocks(), pieces=pieces)
    x[np.array([1, 8])]
    assert read == []
    next(chunks(x, 2))
    assert read == [3]


def test_stacking_undoes_a_split_and_stays_out_of_memory():
    whole = stacked([X[:2], blocks(X[2:], (1,))])
    assert isinstance(whole, Blocks)
    np.testing.assert_array_equal(np.asarray(whole), X)
    assert isinstance(stacked([X, X]), np.ndarray)
    assert stacked([blocks(), X.astype(np.float32)]).dtype == np.float32
