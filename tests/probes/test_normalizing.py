import numpy as np
import pytest
import torch
from torch.testing import assert_close

from transferkit.core.blocks import Blocks
from transferkit.core.seeding import generator
from transferkit.probes import normalizing
from transferkit.probes.normalizing import normalized, normalizer, pieces_of

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
