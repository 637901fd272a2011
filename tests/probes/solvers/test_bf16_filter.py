import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from transferkit.core.out_of_core import Blocks
from transferkit.core.seeding import generator
from transferkit.probes.solvers import bf16_filter
from transferkit.probes.solvers import neighbours as search
from transferkit.probes.solvers.bf16_filter import filtered_search, is_filter_faster
from transferkit.probes.solvers.neighbours import neighbours

METRICS = pytest.mark.parametrize("metric", ["cosine", "euclidean"])  # unit rows and original rows
N, D, Q, K = 1990, 40, 60, 20  # the groups do not divide the number of rows


def plain(rng, n):
    return rng.normal(size=(n, D))


def far_from_zero(rng, n):
    return 30 + rng.normal(size=(n, D))


def with_outliers(rng, n):
    x = rng.normal(size=(n, D))
    x[::97] *= 1e4
    return x


def tiny(rng, n):
    return 1e-6 * rng.normal(size=(n, D))


def nearly_the_same(rng, n):
    return np.linspace(1, 2, D) + 1e-5 * rng.normal(size=(n, D))


def twice(rng, n):
    half = rng.normal(size=(n - n // 2, D))
    return np.concatenate([half, half])[:n]


def vanishing(rng, n):
    return 1e-19 * rng.normal(size=(n, D))  # products underflow in float32


def rounded_down(rng, n):
    return np.where(rng.random((n, D)) < 0.5, 1, 2) * (1 + 2.0**-8)  # maximum distance from bfloat16


def whole_numbers(rng, n):
    half = rng.integers(-12, 13, size=(n // 2, D))  # exact in bfloat16 around their mean of 0; products are not
    return np.concatenate([half, -half])


KINDS = pytest.mark.parametrize(
    "kind",
    [
        plain,
        far_from_zero,
        with_outliers,
        tiny,
        nearly_the_same,
        twice,
        vanishing,
        rounded_down,
        whole_numbers,
    ],
    ids=lambda kind: kind.__name__,
)


def drawn(kind, metric):
    """Return queries and bank as they are searched."""
    rng = generator(0, "screening", kind.__name__)
    queries, bank = (search._prepared(kind(rng, n).astype(np.float32), metric) for n in (Q, N))
    centre = search._centre(bank)
    return tuple(search._shifted(x, centre) for x in (queries, bank))


def sizes(queries, bank):
    """Return the sizes ``[q, n]`` to which float32 errors are relative."""
    q, x = queries.astype(np.float64), bank.astype(np.float64)
    return np.square(q).sum(1)[:, None] + np.square(x).sum(1)


def exact(queries, bank):
    """Return the negative squared distances ``[q, n]`` in float64."""
    q, x = queries.astype(np.float64), bank.astype(np.float64)
    return -np.square(q[:, None] - x[None]).sum(2)


@METRICS
@KINDS
def test_no_other_row_is_nearer_than_the_bound(kind, metric):
    queries, bank = drawn(kind, metric)
    candidate_filter = bf16_filter._CandidateFilter.of(torch.from_numpy(bank))
    first, bound = candidate_filter.top_candidates(torch.from_numpy(queries), 30)
    near = exact(queries, bank)
    np.put_along_axis(near, first, -np.inf, axis=1)
    assert (near.max(axis=1) <= bound).all()


@METRICS
@KINDS
def test_certified_rows_are_the_nearest(kind, metric):
    queries, bank = drawn(kind, metric)
    found = filtered_search(queries, bank, K)
    near = exact(queries, bank)
    nearest = -np.sort(-near, axis=1)[:, :K]
    reached = np.take_along_axis(near, found.rows, axis=1)
    size = np.take_along_axis(sizes(queries, bank), found.rows, axis=1)
    assert (np.abs(reached - nearest) <= 1e-6 * size)[found.certified].all()
    assert (np.abs(found.near - nearest) <= 1e-6 * size)[found.certified].all()
    assert found.certified.any() or kind not in (plain, far_from_zero, tiny, twice)


@METRICS
@pytest.mark.parametrize("kind", [plain, tiny])
def test_all_queries_of_well_spread_rows_are_certified(kind, metric):
    assert filtered_search(*drawn(kind, metric), K).certified.all()


def test_the_search_stops_early_if_bfloat16_cannot_distinguish_rows(monkeypatch):
    queries, bank = drawn(nearly_the_same, "cosine")
    bank = bank[:1] + 1e-6 * (bank - bank[:1])
    monkeypatch.setattr(bf16_filter, "MAX_COMPARISONS", 10 * N)
    calls = []
    whole = bf16_filter._CandidateFilter.top_candidates
    monkeypatch.setattr(bf16_filter._CandidateFilter, "top_candidates", lambda *args: calls.append(1) or whole(*args))
    assert not filtered_search(queries, bank, K).certified.any()
    assert len(calls) == 1


def test_the_last_row_is_found_in_an_incomplete_group():
    _, bank = drawn(plain, "euclidean")
    assert (filtered_search(bank[-3:], bank, 1).rows[:, 0] == [N - 3, N - 2, N - 1]).all()


@METRICS
@KINDS
@pytest.mark.parametrize("rows", [N, 900])
def test_neighbours_are_the_same_with_and_without_the_filter(kind, metric, rows, monkeypatch):
    queries, bank = (kind(generator(0, "screening", kind.__name__), n).astype(np.float32) for n in (Q, N))
    monkeypatch.setattr(search, "_multiplies_bf16", lambda: False)
    near, _ = neighbours(queries, bank, k=K, metric=metric)
    monkeypatch.setattr(search, "_multiplies_bf16", lambda: True)
    monkeypatch.setattr(search, "is_filter_faster", lambda queries, bank, k: len(bank) > 800)
    monkeypatch.setattr(search, "CHUNK_VALUES", rows * D)
    lazy = Blocks(bank.shape, bank.dtype, lambda: iter(np.array_split(bank, 7)))
    found, numbers = neighbours(queries, lazy, k=K, metric=metric)
    prepared = [search._prepared(x, metric) for x in (queries, bank)]
    each = prepared[0].astype(np.float64) @ prepared[1].T if metric == "cosine" else exact(*prepared)
    truth = np.take_along_axis(each, numbers, axis=1)
    size = np.take_along_axis(sizes(*prepared), numbers, axis=1)
    assert (np.abs(found - truth) <= 1e-6 * size).all()
    assert (np.abs(found - near) <= 2e-6 * size).all()
    assert_array_equal([len(set(row)) for row in numbers.tolist()], [K] * Q)


@METRICS
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_faiss_searches_rows_that_are_not_finite_or_overflow(metric, bad, monkeypatch):
    queries, bank = (np.array(x) for x in drawn(plain, metric))
    bank[17, 3] = bad
    monkeypatch.setattr(search, "_multiplies_bf16", lambda: True)
    monkeypatch.setattr(search, "is_filter_faster", lambda queries, bank, k: True)
    near, rows = search._search(queries, bank, K)
    expected = search._search_faiss(queries, bank, K)
    assert_array_equal(rows, expected[1])
    assert_allclose(near, expected[0], rtol=1e-5)


def test_padding_is_never_returned_even_after_nan(monkeypatch):
    def last(values, m):
        columns = torch.arange(values.shape[1] - m, values.shape[1])
        return columns.expand(len(values), m).contiguous(), torch.full((len(values),), torch.nan)

    calls = []
    compared = bf16_filter._nearest_candidates
    monkeypatch.setattr(bf16_filter, "_highest", last)
    monkeypatch.setattr(
        bf16_filter, "_nearest_candidates", lambda *args: calls.append(args[2].max()) or compared(*args)
    )
    assert not filtered_search(*drawn(plain, "euclidean"), K).certified.any()
    assert max(calls) == N - 1


@METRICS
def test_the_bound_covers_rounding_errors_of_one_sign(metric):
    """Rounding shortens the nearest row and the query in every column; other rows lose nothing and appear nearer."""
    d, step = 1024, 2.0**-8
    rng = generator(0, "one way")
    aside = rng.normal(size=(17, d))
    aside -= aside.mean(axis=1, keepdims=True)
    aside /= np.sqrt(np.square(aside).mean(axis=1, keepdims=True))
    dots = np.array([[-0.002], *[[-0.0075]] * 16])
    others = 1.2 + np.sqrt(2 * (1.2 * (1 + step) - dots) - 1.44) * aside
    bank = np.concatenate([np.full((1, d), 2 * (1 + step)), others, 0.5 * rng.normal(size=(2000, d))])
    bank = search._prepared(np.concatenate([bank, -bank]).astype(np.float32), metric)
    queries = search._prepared(np.full((3, d), 1 + step, np.float32), metric)
    found = filtered_search(queries, bank, 1)
    nearest = exact(queries, bank).argmax(axis=1)
    assert (found.rows[found.certified, 0] == nearest[found.certified]).all()


@pytest.mark.parametrize(
    ("queries", "bank", "k", "worth"),
    [
        ((1000, 512), (50_000, 512), 200, True),
        ((999, 512), (50_000, 512), 200, False),  # few queries
        ((1000, 64), (50_000, 64), 200, False),  # little to multiply
        ((1000, 4096), (4000, 4096), 200, False),  # most rows would be candidates
        ((1000, 31), (500_000, 31), 20, False),  # most columns would be padding
    ],
)
def test_the_filter_is_used_where_products_dominate(queries, bank, k, worth):
    x, y = np.empty(queries, np.float32), np.empty(bank, np.float32)
    assert is_filter_faster(x, y, k) == worth
