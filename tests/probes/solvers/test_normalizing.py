import numpy as np
import pytest
import torch
from torch.testing import assert_close

from transferkit.core.out_of_core import Blocks
from transferkit.core.seeding import generator
from transferkit.probes.solvers import normalizing
from transferkit.probes.solvers.normalizing import normalized, normalizer, pieces_of

X = (generator(0, "normalizing").normal(size=(50, 4)) * [1, 10, 0.1, 0] + [0, 5, -3, 7]).astype(np.float16)
BLOCKS = Blocks(X.shape, X.dtype, lambda: iter(np.split(X, (7, 7, 30))))


@pytest.mark.parametrize("normalize", ["none", "l2", "standardize"])
def test_blocks_are_normalised_as_arrays_are(normalize, monkeypatch):
    monkeypatch.setattr(normalizing, "ROWS", 9)
    whole = normalized(X, normalizer(X, normalize))
    streamed = normalized(BLOCKS, normalizer(BLOCKS, normalize))
    assert isinstance(streamed, Blocks)
    assert_close(torch.from_numpy(np.asarray(streamed)), whole)
    pieces = list(pieces_of(BLOCKS, normalizer(BLOCKS, normalize), torch.device("cpu"), 11))
    assert max(map(len, pieces)) <= 11
    assert_close(torch.cat(pieces), whole)


def test_standardised_columns_have_mean_0_and_deviation_1_and_constant_ones_none():
    z = normalized(X, normalizer(X, "standardize")).double().numpy()
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(0), [1, 1, 1, 0], atol=1e-6)


def test_what_is_fitted_elsewhere_is_applied_here():
    z = normalizer(X, "standardize")(torch.from_numpy(X[:1] + np.float16(1)))
    x = X.astype(np.float64)
    expected = ((X[:1] + np.float16(1)).astype(np.float64) - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    np.testing.assert_allclose(z.double().numpy(), expected, rtol=1e-6)
    assert z.dtype == torch.float32


def test_l2_rows_have_unit_length_and_rows_of_zeros_stay():
    z = normalizer(X, "l2")(torch.cat([torch.from_numpy(X), torch.zeros(1, 4).half()]))
    assert_close(z.norm(dim=1), torch.tensor([1.0] * 50 + [0.0]))


@pytest.mark.parametrize(
    ("n", "dtype", "value"),
    [
        (24_577, np.float32, 12.742),
        (50_000, np.float32, 12.742),
        (50_000, np.float16, 12.742),
        (41_000, np.float32, -0.1),
        (50, np.float64, 0.3),
        (50_000, np.float64, 0.3),
        (50, np.float64, 1e-300),
    ],
)
def test_a_constant_column_is_only_centred_whatever_rounding_makes_of_its_mean(n, dtype, value):
    x = np.full((n, 40), value, dtype) * np.linspace(1, 2, 40).astype(dtype)
    changed = torch.from_numpy(x[:1] * dtype(1.01))
    z = normalizer(x, "standardize")(changed)
    assert_close(z.double(), changed.double() - torch.from_numpy(x[0]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_that_varies_by_its_own_rounding_only_is_constant(dtype):
    x = np.full((1000, 1), 12.742, dtype)
    x[::2] = np.nextafter(x[::2], dtype(np.inf))
    z = normalizer(x, "standardize")(torch.from_numpy(x * dtype(1.01)))
    assert_close(z.double(), torch.full((1000, 1), 0.12742, dtype=torch.float64), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("offset", "dtype"), [(1000, np.float16), (1e5, np.float32), (1e12, np.float64)])
def test_a_column_that_varies_by_more_than_its_rounding_is_standardised(offset, dtype):
    x = (offset + generator(0, "offset").normal(size=(1000, 1))).astype(dtype)
    z = normalized(x, normalizer(x, "standardize")).double()
    assert_close(z.square().mean(), torch.tensor(1.0, dtype=torch.float64), rtol=1e-5, atol=0)
