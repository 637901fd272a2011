import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from transferkit.core.out_of_core import Blocks
from transferkit.core.seeding import generator
from transferkit.probes import candidates
from transferkit.probes import neighbours as search
from transferkit.probes.candidates import is_worth_screening, screened
from transferkit.probes.neighbours import neighbours

METRICS = pytest.mark.parametrize("metric", ["cosine", "euclidean"])  # unit rows, and rows as they are
N, D, Q, K = 1990, 40, 60, 20  # a number of rows that no group divides


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
    return 1e-19 * rng.normal(size=(n, D))  # whose products are below what float32 holds


def rounded_down(rng, n):
    return np.where(rng.random((n, D)) < 0.5, 1, 2) * (1 + 2.0**-8)  # as far from bfloat16 as can be


def whole_numbers(rng, n):
    half = rng.integers(-12, 13, size=(n // 2, D))  # about their mean of 0 they lose nothing; products do
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
    """Queries and bank as they are searched."""
    rng = generator(0, "screening", kind.__name__)
    queries, bank = (search._prepared(kind(rng, n).astype(np.float32), metric) for n in (Q, N))
    centre = search._centre(bank)
    return tuple(search._shifted(x, centre) for x in (queries, bank))


def sizes(queries, bank):
    """``[q, n]``: of what float32 can lose digits."""
    q, x = queries.astype(np.float64), bank.astype(np.float64)
    return np.square(q).sum(1)[:, None] + np.square(x).sum(1)


def exact(queries, bank):
    """Less the squared distances ``[q, n]``, float64."""
    q, x = queries.astype(np.float64), bank.astype(np.float64)
    return -np.square(q[:, None] - x[None]).sum(2)


@METRICS
@KINDS
def test_no_row_beyond_the_foremost_is_nearer_than_the_bound(kind, metric):
    queries, bank = drawn(kind, metric)
    screen = candidates._Screen.of(torch.from_numpy(bank))
    first, others = screen.top_candidates(torch.from_numpy(queries), 30)
    near = exact(queries, bank)
    np.put_along_axis(near, first, -np.inf, axis=1)
    assert (near.max(axis=1) <= others).all()


@METRICS
@KINDS
def test_sure_answers_are_the_nearest(kind, metric):
    queries, bank = drawn(kind, metric)
    found = screened(queries, bank, K)
    near = exact(queries, bank)
    nearest = -np.sort(-near, axis=1)[:, :K]
    reached = np.take_along_axis(near, found.rows, axis=1)
    size = np.take_along_axis(sizes(queries, bank), found.rows, axis=1)
    assert (np.abs(reached - nearest) <= 1e-6 * size)[found.sure].all()
    assert (np.abs(found.near - nearest) <= 1e-6 * size)[found.sure].all()
    assert found.sure.any() or kind not in (plain, far_from_zero, tiny, twice)


@METRICS
@pytest.mark.parametrize("kind", [plain, tiny])
def test_of_well_spread_rows_all_answers_are_sure(kind, metric):
    assert screened(*drawn(kind, metric), K).sure.all()


def test_of_rows_that_bfloat16_cannot_tell_apart_none_is_and_the_search_gives_up(monkeypatch):
    queries, bank = drawn(nearly_the_same, "cosine")
    bank = bank[:1] + 1e-6 * (bank - bank[:1])
    monkeypatch.setattr(candidates, "BLOCK", 10 * N)
    asked = []
    whole = candidates._Screen.top_candidates
    monkeypatch.setattr(candidates._Screen, "foremost", lambda *args: asked.append(1) or whole(*args))
    assert not screened(queries, bank, K).sure.any()
    assert len(asked) == 1


def test_the_last_row_is_found_though_groups_do_not_come_out_even():
    _, bank = drawn(plain, "euclidean")
    assert (screened(bank[-3:], bank, 1).rows[:, 0] == [N - 3, N - 2, N - 1]).all()


@METRICS
@KINDS
@pytest.mark.parametrize("rows", [N, 900])
def test_neighbours_are_the_same_with_it_and_without(kind, metric, rows, monkeypatch):
    queries, bank = (kind(generator(0, "screening", kind.__name__), n).astype(np.float32) for n in (Q, N))
    monkeypatch.setattr(search, "_multiplies_bf16", lambda: False)
    near, _ = neighbours(queries, bank, k=K, metric=metric)
    monkeypatch.setattr(search, "_multiplies_bf16", lambda: True)
    monkeypatch.setattr(search, "is_worth_screening", lambda queries, bank, k: len(bank) > 800)
    monkeypatch.setattr(search, "CHUNK", rows * D)
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
def test_a_row_that_cannot_be_compared_is_left_to_faiss(metric, bad, monkeypatch):
    queries, bank = (np.array(x) for x in drawn(plain, metric))
    bank[17, 3] = bad
    monkeypatch.setattr(search, "_multiplies_bf16", lambda: True)
    monkeypatch.setattr(search, "is_worth_screening", lambda queries, bank, k: True)
    near, rows = search._search(queries, bank, K)
    expected = search._search_faiss(queries, bank, K)
    assert_array_equal(rows, expected[1])
    assert_allclose(near, expected[0], rtol=1e-5)


def test_padding_is_never_compared_whatever_sorting_makes_of_what_is_no_number(monkeypatch):
    def last(values, m):
        columns = torch.arange(values.shape[1] - m, values.shape[1])
        return columns.expand(len(values), m).contiguous(), torch.full((len(values),), torch.nan)

    asked = []
    compared = candidates._compared
    monkeypatch.setattr(candidates, "_highest", last)
    monkeypatch.setattr(candidates, "_compared", lambda *args: asked.append(args[2].max()) or compared(*args))
    assert not screened(*drawn(plain, "euclidean"), K).sure.any()
    assert max(asked) == N - 1


@METRICS
def test_rounding_that_goes_one_way_is_accounted_for(metric):
    """The nearest row and the query lose to rounding in every column; some others do not, and look nearer."""
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
    found = screened(queries, bank, 1)
    nearest = exact(queries, bank).argmax(axis=1)
    assert (found.rows[found.sure, 0] == nearest[found.sure]).all()


@pytest.mark.parametrize(
    ("queries", "bank", "k", "worth"),
    [
        ((1000, 512), (50_000, 512), 200, True),
        ((999, 512), (50_000, 512), 200, False),  # few queries
        ((1000, 64), (50_000, 64), 200, False),  # little to multiply
        ((1000, 4096), (4000, 4096), 200, False),  # most rows would be looked at
        ((1000, 31), (500_000, 31), 20, False),  # most columns would be there to fill up
    ],
)
def test_it_is_used_where_products_are_what_takes_time(queries, bank, k, worth):
    x, y = np.empty(queries, np.float32), np.empty(bank, np.float32)
    assert is_worth_screening(x, y, k) == worth
