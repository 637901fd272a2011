import numpy as np
import pytest
import torch
from torch.testing import assert_close

from transferkit.core.errors import DataError
from transferkit.core.out_of_core import Blocks
from transferkit.probes.solvers.principal_axes import principal_axes

SHAPES = [(40, 6), (6, 40), (6, 6)]  # many rows, few, as many as columns
CPU = torch.device("cpu")


def rows_of(n, d, dtype=torch.float64):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(n + d), dtype=dtype)
    return x * torch.logspace(0, -2, d, dtype=dtype) + 3


def decomposed(x):
    return principal_axes(x, device=CPU, dtype=x.dtype)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_axes_are_orthonormal_and_the_rows_uncorrelated_along_them(n, d):
    x = rows_of(n, d)
    axes = decomposed(x)
    r = len(axes.variances)
    basis = axes.weights(torch.eye(r, dtype=x.dtype))
    assert basis.shape == (d, r)
    assert_close(basis.T @ basis, torch.eye(r, dtype=x.dtype))
    along = axes.coordinates(x)
    assert_close(along.T @ along / n, torch.diag(axes.variances))


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_axes_reconstruct_the_rows(n, d):
    x = rows_of(n, d)
    axes = decomposed(x)
    basis = axes.weights(torch.eye(len(axes.variances), dtype=x.dtype))
    assert_close(axes.coordinates(x) @ basis.T + axes.mean, x)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_weights_along_the_axes_predict_the_same_as_column_weights(n, d):
    x, other = rows_of(n, d), rows_of(9, d) + 1
    axes = decomposed(x)
    along = torch.randn(2, len(axes.variances), 3, dtype=x.dtype)
    assert_close(axes.coordinates(other) @ along, (other - axes.mean) @ axes.weights(along))


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_products_are_those_of_the_coordinates(n, d):
    x = rows_of(n, d)
    axes = decomposed(x)
    y = torch.randn(n, 3, dtype=x.dtype)
    assert_close(axes.products(y), axes.coordinates(x).T @ y)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_blocks_give_the_same_axes_as_a_whole_matrix(n, d):
    x = rows_of(n, d, torch.float32)
    parts = [part.numpy() for part in x.split(4)]
    blocks = Blocks((n, d), np.dtype(np.float32), lambda: iter(parts))
    streamed, whole = principal_axes(blocks, device=CPU, dtype=torch.float32), decomposed(x)
    assert_close(streamed.variances, whole.variances, atol=1e-5, rtol=1e-4)
    y = torch.randn(n, 3)
    ours, theirs = (one.weights(one.products(y)) for one in (streamed, whole))
    assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_float32_axes_agree_with_float64(n, d):
    axes = decomposed(rows_of(n, d))
    single = axes.to_float32()
    assert single.variances.dtype == torch.float32
    assert_close(single.variances.double(), axes.variances, atol=1e-6, rtol=1e-5)
    along = torch.randn(len(axes.variances), 2)
    assert single.weights(along).dtype == torch.float32
    assert_close(single.weights(along).double(), axes.weights(along.double()), atol=1e-5, rtol=1e-4)
    x = rows_of(9, d)
    assert_close(single.coordinates(x.float()).double(), axes.coordinates(x), atol=1e-4, rtol=1e-4)


def test_few_rows_have_one_axis_less_than_rows():
    assert len(decomposed(rows_of(6, 40)).variances) == 5
    assert len(decomposed(torch.cat([rows_of(6, 40)] * 2)).variances) == 5


@pytest.mark.parametrize("n", [1, 3])
def test_identical_rows_have_one_axis_with_coordinate_0(n):
    axes = decomposed(torch.full((n, 8), 0.3, dtype=torch.float64))
    assert len(axes.variances) == 1
    assert axes.variances.item() == pytest.approx(0, abs=1e-30)
    assert_close(axes.products(torch.ones(n, 1, dtype=torch.float64)), torch.zeros(1, 1).double())
    assert torch.isfinite(axes.weights(torch.ones(1, 1, dtype=torch.float64))).all()


def test_small_directions_of_few_rows_are_kept_in_float32():
    """Squares of lengths a millionth of the longest are below float32's last digit of the sum."""
    lengths = torch.logspace(0, -6, 6)
    q, _ = torch.linalg.qr(torch.randn(40, 6, generator=torch.Generator().manual_seed(0)))
    signs = torch.linalg.qr(torch.randn(7, 7, generator=torch.Generator().manual_seed(1)))[0]
    u = torch.linalg.qr(signs[:, :6] - signs[:, :6].mean(0))[0]  # its columns sum to 0
    axes = decomposed(u * lengths @ q.T)
    assert_close(axes.variances.mul(7).sqrt().flip(0), lengths, atol=1e-7, rtol=0.2)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_rows_whose_squares_overflow_are_refused(n, d):
    with pytest.raises(DataError, match="squares of these features exceed the range of float32: standardise"):
        decomposed(1e20 * rows_of(n, d, torch.float32))


@pytest.mark.parametrize(("n", "d"), SHAPES[:2])
@pytest.mark.parametrize("ratio", [1e3, 1e5, 1e6])
def test_columns_of_very_different_scales_keep_their_axes(n, d, ratio):
    """The mean squares along large and small axes are correct to four digits, in float32."""
    scale = torch.logspace(0, 1, d, dtype=torch.float64)
    scale[::2] /= ratio
    x = (rows_of(n, d) * scale).float()
    exact = torch.linalg.svdvals(x.double() - x.mean(0, dtype=torch.float64).float()).square() / n
    r = min(d, n - 1)
    found = decomposed(x).variances.sort(descending=True).values[:r]
    assert_close(found.double(), exact[:r], rtol=1e-4, atol=0)
