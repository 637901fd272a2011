import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import NearestNeighbors

from tests.reference import knn as reference
from transferkit.core.errors import ShapeError
from transferkit.core.faiss_library import load_faiss
from transferkit.core.out_of_core import Blocks
from transferkit.core.seeding import generator
from transferkit.probes.solvers import neighbours as search
from transferkit.probes.solvers.neighbours import approximate_neighbours, in_order, neighbours


def rows_of(n, d, name):
    return generator(0, name, n, d).normal(size=(n, d)).astype(np.float32)


QUERIES, BANK = rows_of(20, 6, "queries"), rows_of(50, 6, "bank")
METRICS = pytest.mark.parametrize("metric", ["cosine", "euclidean"])


@pytest.fixture(params=["faiss", "torch"])
def backend(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setitem(sys.modules, "faiss", None)  # as if it were not installed
        monkeypatch.setattr(search, "has_faiss", lambda: False)
    return request.param


@METRICS
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("k", [1, 13, 50])
def test_the_nearest_rows_are_those_of_the_reference(metric, k):
    near, rows = neighbours(QUERIES, BANK, k=k, metric=metric)
    expected = getattr(reference, f"{metric}_nearness")(QUERIES, BANK, k)
    assert_allclose(near, [[value for value, _ in ranked] for ranked in expected], atol=2e-5)
    assert_array_equal(rows, [[row for _, row in ranked] for ranked in expected])


@METRICS
def test_the_nearest_rows_are_those_of_scikit_learn(metric):
    theirs = NearestNeighbors(n_neighbors=20, algorithm="brute", metric=metric).fit(BANK)
    distance, rows = theirs.kneighbors(QUERIES)
    near, found = neighbours(QUERIES, BANK, k=20, metric=metric)
    assert_array_equal(found, rows)
    assert_allclose(1 - near if metric == "cosine" else np.sqrt(-near), distance, atol=1e-4)


@METRICS
def test_faiss_and_torch_agree(metric, monkeypatch):
    with_faiss = neighbours(QUERIES, BANK, k=13, metric=metric)
    monkeypatch.setattr(search, "MAX_SIMILARITIES", 200)  # four queries at once
    monkeypatch.setattr(search, "_search_faiss", None)
    monkeypatch.setattr(search, "has_faiss", lambda: False)
    without = neighbours(QUERIES, BANK, k=13, metric=metric)
    assert_allclose(with_faiss[0], without[0], atol=1e-5)
    assert_array_equal(with_faiss[1], without[1])


@METRICS
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("k", [1, 9, 50])
@pytest.mark.parametrize("rows", [1, 7, 49])
def test_a_search_in_chunks_equals_one_search(metric, k, rows, monkeypatch):
    whole = neighbours(QUERIES, BANK, k=k, metric=metric)
    monkeypatch.setattr(search, "CHUNK_VALUES", 6 * rows)
    lazy = Blocks(BANK.shape, BANK.dtype, lambda: iter(np.split(BANK, [3, 5, 30])))
    for bank in (BANK, lazy):
        near, found = neighbours(QUERIES, bank, k=k, metric=metric)
        assert_array_equal(found, whole[1])
        assert_allclose(near, whole[0], atol=1e-5)


def test_chunks_have_a_maximum_size_and_small_ones_are_joined():
    lazy = Blocks(BANK.shape, BANK.dtype, lambda: iter(np.split(BANK, [3, 5, 30])))
    parts = list(search._large_chunks(lazy, 10))
    assert [len(part) for part in parts] == [5, 10, 10, 5, 10, 10]
    assert_array_equal(np.concatenate(parts), BANK)


@METRICS
@pytest.mark.usefixtures("backend")
def test_order_of_the_bank_and_rotation_do_not_matter(metric):
    order = generator(0, "order").permutation(50)
    rotation = np.linalg.qr(generator(0, "turn").normal(size=(6, 6)))[0].astype(np.float32)
    near, rows = neighbours(QUERIES, BANK, k=9, metric=metric)
    moved, found = neighbours(QUERIES @ rotation, (BANK @ rotation)[order], k=9, metric=metric)
    assert_allclose(moved, near, atol=1e-4)
    assert_array_equal(order[found], rows)


@METRICS
@pytest.mark.usefixtures("backend")
def test_ties_are_in_the_order_of_the_bank(metric):
    _, rows = neighbours(QUERIES, np.concatenate([BANK, BANK]), k=100, metric=metric)
    assert (rows[:, 1::2] - rows[:, ::2] == 50).all()


def test_neighbours_are_sorted_by_nearness_then_row():
    near = np.array([[3, 2, 2, 1], [1, 5, 5, 5], [4, 3, 2, 1]], np.float32)
    rows = np.array([[0, 9, 4, 1], [7, 3, 2, 1], [3, 2, 1, 0]])
    found = in_order(near, rows)
    assert found[0].tolist() == [[3, 2, 2, 1], [5, 5, 5, 1], [4, 3, 2, 1]]
    assert found[1].tolist() == [[0, 4, 9, 1], [1, 2, 3, 7], [3, 2, 1, 0]]
    assert rows[0].tolist() == [0, 9, 4, 1]  # the input is not changed


@pytest.mark.usefixtures("backend")
def test_queries_of_length_0_have_similarity_0_to_all_rows():
    near, rows = neighbours(np.zeros((2, 6), np.float32), BANK, k=50, metric="cosine")
    assert_array_equal(near, np.zeros((2, 50)))
    assert_array_equal(rows, [np.arange(50)] * 2)


@METRICS
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("zeros", [1, 12, 50])
def test_bank_rows_of_length_0_have_similarity_0(metric, zeros, monkeypatch):
    bank = BANK.copy()
    bank[:: 50 // zeros] = 0
    expected = getattr(reference, f"{metric}_nearness")(QUERIES, bank + 1e-30 * BANK, 50)
    for rows in (6, 50):
        monkeypatch.setattr(search, "CHUNK_VALUES", 6 * rows)
        near, found = neighbours(QUERIES, bank, k=50, metric=metric)
        if metric == "cosine":
            own = bank.any(axis=1)[found]
            assert_allclose(near[~own], 0, atol=1e-6)
            expected = [[pair for pair in ranked if bank[pair[1]].any()] for ranked in expected]
            near, found = near[own].reshape(20, -1), found[own].reshape(20, -1)
        assert_allclose(near, [[value for value, _ in ranked] for ranked in expected], atol=2e-5)
        assert_array_equal(np.sort(found), np.sort([[row for _, row in ranked] for ranked in expected]))


def overlap(found, expected):
    return np.mean([len(set(a) & set(b)) for a, b in zip(found.tolist(), expected.tolist(), strict=True)])


def offset_rows(offset, spread, dtype):
    """Return queries and a bank in four clusters, whose columns have an offset from zero."""
    rng = generator(0, "offset")
    x = rng.normal(size=(4, 64))[np.arange(1700) % 4] + rng.normal(size=(1700, 64))
    x = (offset * (1 + rng.random(64)) + spread * x).astype(dtype)
    return x[:200], x[200:]


def exact_rows(queries, bank, metric):
    """Return the ten nearest rows, computed from differences in float64."""
    q, x = (rows.astype(np.float64) for rows in (queries, bank))
    if metric == "cosine":
        q, x = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (q, x))
    return np.array([np.square(x - row).sum(1).argsort(kind="stable")[:10] for row in q])


OFFSETS = pytest.mark.parametrize(
    ("offset", "spread", "dtype"),
    [
        (30, 0.1, np.float32),
        (100, 0.05, np.float32),
        (1000, 1, np.float16),
        (1000, 0.05, np.float32),
        (1e6, 0.05, np.float64),
    ],
)


@METRICS
@OFFSETS
def test_an_offset_of_the_features_does_not_change_the_neighbours(metric, offset, spread, dtype, backend, monkeypatch):
    """BLAS computes distances from inner products, which an offset makes large and nearly equal."""
    if backend == "faiss":
        monkeypatch.setattr(load_faiss().cvar, "distance_compute_blas_threshold", 1)
    queries, bank = offset_rows(offset, spread, dtype)
    truth = exact_rows(queries, bank, metric)
    lazy = Blocks(bank.shape, bank.dtype, lambda: iter(np.array_split(bank, 7)))
    for rows in (bank, lazy):
        assert overlap(neighbours(queries, rows, k=10, metric=metric)[1], truth) > 9.8


@METRICS
@OFFSETS
def test_an_offset_does_not_change_the_neighbours_in_an_inverted_file(metric, offset, spread, dtype, monkeypatch):
    monkeypatch.setattr(load_faiss().cvar, "distance_compute_blas_threshold", 1)
    queries, bank = offset_rows(offset, spread, dtype)
    found = approximate_neighbours(queries, bank, k=10, metric=metric)
    assert overlap(found.rows, exact_rows(queries, bank, metric)) > 9.7
    assert found.nprobe < 20  # of √1500 / 2 lists


@pytest.mark.usefixtures("backend")
def test_an_outlier_does_not_change_the_neighbours():
    queries, bank = offset_rows(0, 1, np.float32)
    truth = exact_rows(queries, bank, "euclidean")
    away = np.concatenate([bank, 1e9 * bank[:3]])
    assert_array_equal(neighbours(queries, away, k=10, metric="euclidean")[1], truth)


@METRICS
def test_float16_banks_are_searched_in_float32(metric):
    half = (BANK * 1000).astype(np.float16)
    found = neighbours(QUERIES * 1000, half, k=9, metric=metric)
    expected = neighbours(QUERIES * 1000, half.astype(np.float32), k=9, metric=metric)
    assert_array_equal(found[1], expected[1])
    assert np.isfinite(found[0]).all()


CLUSTERED = rows_of(40, 8, "centres")[np.arange(2000) % 40] + 0.3 * rows_of(2000, 8, "around")
NEW = rows_of(40, 8, "centres")[np.arange(200) % 40] + 0.3 * rows_of(200, 8, "asked")


@METRICS
def test_an_inverted_file_finds_nearly_all_and_measures_its_recall(metric):
    found = approximate_neighbours(NEW, CLUSTERED, k=10, metric=metric)
    near, rows = neighbours(NEW, CLUSTERED, k=10, metric=metric)
    hits = [len(set(a) & set(b)) for a, b in zip(found.rows.tolist(), rows.tolist(), strict=True)]
    odd = np.array(hits)[1::2]  # all queries are in the sample: every other one is measured
    assert found.recall == pytest.approx(odd.sum() / (10 * len(odd)))
    assert found.recall > 0.9
    assert 1 <= found.nprobe < 22  # of √2000 / 2 lists
    same = (found.rows == rows).all(axis=1)
    assert_allclose(found.near[same], near[same], atol=1e-4)


@METRICS
def test_an_inverted_file_is_deterministic(metric):
    one, two = (approximate_neighbours(NEW, CLUSTERED, k=10, metric=metric) for _ in range(2))
    assert_array_equal(one.rows, two.rows)
    assert_array_equal(one.near, two.near)
    assert (one.nprobe, one.recall) == (two.nprobe, two.recall)


@METRICS
def test_an_inverted_file_is_exact_if_all_lists_are_probed(metric):
    found = approximate_neighbours(QUERIES, BANK, k=50, metric=metric)
    near, rows = neighbours(QUERIES, BANK, k=50, metric=metric)
    assert (found.nprobe, found.recall) == (4, 1.0)
    assert_array_equal(found.rows, rows)
    assert_allclose(found.near, near, atol=1e-5)


def test_more_lists_are_probed_if_they_hold_fewer_than_k_rows(monkeypatch):
    monkeypatch.setattr(search, "TARGET_RECALL", 0.0)  # one list seems to be enough
    found = approximate_neighbours(QUERIES, BANK, k=30, metric="cosine")
    assert found.rows.min() >= 0
    assert found.nprobe > 1


@METRICS
def test_each_row_is_in_one_list_that_of_the_nearest_centre(metric):
    lists = search._inverted_lists(CLUSTERED, metric)
    assert sorted(lists.rows.tolist()) == list(range(2000))
    assert_allclose(lists.bank + lists.shift, search._prepared(CLUSTERED, metric)[lists.rows], atol=1e-6)
    rows = search._prepared(CLUSTERED, metric)
    home = neighbours(rows, lists.centres + lists.shift, k=1, metric="euclidean")[1][:, 0]
    for number in range(len(lists)):
        held = lists.rows[lists.bounds[number] : lists.bounds[number + 1]]
        assert (home[held] == number).mean() > 0.99 if len(held) else True


def test_an_inverted_file_of_one_query_measures_that_query():
    assert approximate_neighbours(QUERIES[:1], BANK, k=5, metric="cosine").recall >= 0.99


@pytest.mark.gpu
@METRICS
def test_a_gpu_finds_what_the_processor_finds(metric, monkeypatch):
    found = neighbours(NEW, CLUSTERED, k=10, metric=metric)
    monkeypatch.setattr(search, "has_faiss", lambda: False)
    by_torch = neighbours(NEW, CLUSTERED, k=10, metric=metric)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    near, rows = neighbours(NEW, CLUSTERED, k=10, metric=metric)
    for result in (found, by_torch):
        assert_allclose(result[0], near, atol=1e-3)
        assert (result[1] == rows).mean() > 0.99


@pytest.mark.parametrize("subject", [neighbours, approximate_neighbours])
@pytest.mark.parametrize(
    ("queries", "bank", "k", "words"),
    [
        (QUERIES, BANK, 51, "A bank of 50 rows has no 51 neighbours: use k = 1 … 50"),
        (QUERIES, BANK, 0, "no 0 neighbours"),
        (QUERIES[:, :3], BANK, 1, r"Queries \[20, 3\] and bank \[50, 6\]"),
        (QUERIES[0], BANK, 1, r"Queries \[6\]"),
    ],
)
def test_an_invalid_search_is_refused(subject, queries, bank, k, words):
    with pytest.raises(ShapeError, match=words):
        subject(queries, bank, k=k, metric="cosine")


def test_torch_and_faiss_share_a_process():
    """Both load an OpenMP library; calls with two threads alternate and finish within a minute."""
    code = """
import numpy as np, torch
from transferkit.probes.solvers.neighbours import neighbours
torch.set_num_threads(2)
x = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
for _ in range(5):
    torch.from_numpy(x) @ torch.from_numpy(x).T
    neighbours(x, x, k=5, metric="euclidean")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_faiss_is_loaded_when_first_needed():
    code = "import sys, transferkit.probes; sys.exit('faiss' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
