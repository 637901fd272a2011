import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.reference import cka as reference
from transferkit.analysis.cka import CkaSums, cka, row_batches
from transferkit.core.errors import NonFiniteError, ShapeError, UsageError
from transferkit.core.seeding import generator


def layers(n=20):
    """Three that share a signal, with offsets as activations have them, and different widths."""
    rng = generator(0, "cka", n)
    signal = rng.normal(size=(n, 3))
    return {
        "a": signal @ rng.normal(size=(3, 4)) + 5,
        "b": np.maximum(signal @ rng.normal(size=(3, 7)), 0),
        "c": signal @ rng.normal(size=(3, 30)) + rng.normal(size=(n, 30)) - 3,
    }


def rng():
    return generator(0, "order")


def values(found):
    return np.array(found.values, dtype=np.float64)


@pytest.mark.parametrize("n", [4, 5, 20])
def test_one_batch_agrees_with_the_definition(n):
    x = layers(n)
    found = cka(x, batch=64, rng=rng())
    expected = [[reference.cka(p.tolist(), q.tolist()) for q in x.values()] for p in x.values()]
    assert_allclose(values(found), expected, rtol=1e-9)
    assert (found.rows, found.columns, found.n, found.batches) == (("a", "b", "c"), ("a", "b", "c"), n, 1)
    assert found.constant == ((), ())


def test_batches_are_weighted_means_of_the_unbiased_estimates():
    """The expected value uses the reference's HSIC of batches of 5 and 6 rows."""
    x, sums = layers(11), CkaSums(["a", "b"])
    parts = [slice(0, 5), slice(5, 11)]
    hsic = np.zeros((2, 2))
    for part in parts:
        sums.add({name: x[name][part] for name in "ab"})
        grams = [reference.gram(x[name][part].tolist()) for name in "ab"]
        m = part.stop - part.start
        hsic += m / 11 * np.array([[reference.hsic(p, q) for q in grams] for p in grams])
    expected = hsic / np.sqrt(np.outer(np.diag(hsic), np.diag(hsic)))
    assert_allclose(values(sums.matrix()), expected, rtol=1e-9)


def test_small_batches_come_close_to_all_rows_at_once():
    x = layers(3000)
    exact, streamed = (values(cka(x, batch=batch, rng=rng())) for batch in (3000, 250))
    assert_allclose(streamed, exact, atol=0.01)


def test_rotation_scale_shift_and_order_of_rows_do_not_matter():
    x = layers(40)
    turn = np.linalg.qr(generator(0, "turn").normal(size=(30, 30)))[0]
    order = generator(1, "order").permutation(40)
    changed = {"a": x["a"] * 1e-6 - 3e-6, "b": 1e4 * x["b"] + 1e7, "c": (x["c"] @ turn)}
    before = cka(x, batch=40, rng=rng())
    after = cka({name: y[order] for name, y in changed.items()}, batch=40, rng=rng())
    assert_allclose(values(after), values(before), rtol=1e-7)


def test_rotated_features_are_the_same_features():
    x = generator(0, "x").normal(size=(100, 30)) + 2
    turn = np.linalg.qr(generator(0, "turn").normal(size=(30, 30)))[0]
    (line,) = cka({"x": x}, {"turned": x @ turn, "half": 0.5 * x}, batch=25, rng=rng()).values
    assert line == pytest.approx((1, 1), abs=1e-12)


def test_unrelated_features_are_about_zero_where_the_biased_estimate_is_not():
    draw = generator(0, "noise")
    x, y = (draw.normal(size=(400, 300)) for _ in range(2))
    (value,) = cka({"x": x}, {"y": y}, batch=100, rng=rng()).values[0]
    centred = [z - z.mean(0) for z in (x, y)]
    k, m = (z @ z.T for z in centred)
    assert (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()) > 0.3
    assert abs(value) < 0.02


def test_it_is_symmetric_and_two_sides_agree_with_one():
    x = layers(60)
    found = cka(x, batch=20, rng=rng())
    assert_allclose(values(found), values(found).T, rtol=1e-12)
    assert_allclose(np.diag(values(found)), 1, rtol=1e-12)
    both = cka({"a": x["a"]}, x, batch=20, rng=rng())
    assert_allclose(values(both)[0], values(found)[0], rtol=1e-12)
    assert (both.rows, both.columns) == (("a",), ("a", "b", "c"))


@pytest.mark.parametrize("value", [0.0, 1000.1])
def test_a_layer_without_spread_is_named_and_has_no_value(value):
    x = layers(30)
    x["b"] = np.full((30, 7), value)
    found = cka(x, batch=10, rng=rng())
    assert found.constant == (("b",), ("b",))
    assert found.values[1] == (None, None, None)
    assert found.values[0][1] is None
    assert found.values[0][2] == pytest.approx(cka({"a": x["a"]}, x, batch=10, rng=rng()).values[0][2])


@pytest.mark.parametrize("row", range(9))
def test_one_row_that_differs_leaves_nothing_but_rounding(row):
    x, sums = layers(9), CkaSums(["a", "b"])
    x["b"] = np.full((9, 7), 1000.1)
    x["b"][row] = np.arange(7) * 0.77
    sums.add({name: x[name] for name in "ab"})
    assert sums.matrix().constant == (("b",), ("b",))
    assert sums.matrix().values[1] == (None, None)


def test_a_layer_that_varies_in_one_batch_only_has_a_value():
    x, sums = layers(20), CkaSums(["a", "b"])
    sums.add({"a": x["a"][:10], "b": np.ones((10, 7))})
    sums.add({"a": x["a"][10:], "b": x["b"][10:]})
    assert sums.matrix().values[0][1] is not None
    assert sums.matrix().constant == ((), ())


@pytest.mark.parametrize("factor", [1e-120, 1e120])
def test_no_scale_is_too_small_or_too_large(factor):
    x = layers(20)
    scaled = {name: factor * y for name, y in x.items()}
    assert_allclose(values(cka(scaled, batch=10, rng=rng())), values(cka(x, batch=10, rng=rng())), rtol=1e-9)


def test_half_precision_is_computed_in_full():
    x = {name: y.astype(np.float16) for name, y in layers(40).items()}
    full = {name: y.astype(np.float64) for name, y in x.items()}
    assert cka(x, batch=20, rng=rng()) == cka(full, batch=20, rng=rng())


def test_every_row_twice_changes_little_and_is_no_error():
    x = layers(200)
    twice = {name: np.repeat(y, 2, axis=0) for name, y in x.items()}
    assert_allclose(values(cka(twice, batch=400, rng=rng())), values(cka(x, batch=200, rng=rng())), atol=0.05)


@pytest.mark.parametrize(("n", "batch", "sizes"), [(4, 8, {4}), (9, 8, {4, 5}), (1000, 300, {250}), (8, 8, {8})])
def test_batches_hold_every_row_once(n, batch, sizes):
    parts = row_batches(n, batch=batch, rng=rng())
    assert {len(part) for part in parts} == sizes
    assert sorted(np.concatenate(parts)) == list(range(n))


X = np.arange(12.0).reshape(6, 2) ** 2


@pytest.mark.parametrize(
    ("rows", "columns", "error", "words"),
    [
        ({"a": X[:3]}, None, ShapeError, "batch of 3 rows is too small for CKA: give 4 or more"),
        ({"a": X, "b": X[:5]}, None, ShapeError, "Layer a has 6 rows and b has 5"),
        ({"a": X}, {"b": X[:5]}, ShapeError, "not 6 and 5 rows"),
        ({"a": X * np.nan}, None, NonFiniteError, "layer a are NaN or infinite in 6 of 6"),
        ({"a": X[0, 0]}, None, ShapeError, "batch of 0 rows"),
        ({"a": X[:, 0]}, None, ShapeError, r"layer a must be .* not \[6\]"),
        ({}, None, UsageError, "rows of at least one layer"),
        ({"a": X}, {}, UsageError, "columns of at least one layer"),
    ],
)
def test_what_cannot_be_compared_is_refused(rows, columns, error, words):
    with pytest.raises(error, match=words):
        cka(rows, columns, batch=8, rng=rng())


def test_batches_too_small_are_refused():
    with pytest.raises(UsageError, match="batch of 7 rows is too small for CKA: give 8"):
        row_batches(100, batch=7, rng=rng())
    with pytest.raises(ShapeError, match="at least 4 rows, not 3"):
        row_batches(3, batch=8, rng=rng())


def test_a_batch_must_hold_the_layers_that_were_named():
    with pytest.raises(UsageError, match="each named once, not 'a, a'"):
        CkaSums(["a", "a"])
    with pytest.raises(ShapeError, match="rows are layers a, b, not a"):
        CkaSums(["a", "b"]).add({"a": X})
    with pytest.raises(ShapeError, match="columns are layers c, not none"):
        CkaSums(["a"], ["c"]).add({"a": X})
    with pytest.raises(ShapeError, match="same samples in all layers, not 6 and 5"):
        CkaSums(["a"], ["c"]).add({"a": X}, {"c": X[:5]})
    with pytest.raises(ShapeError, match="CKA of no rows"):
        CkaSums(["a"]).matrix()
