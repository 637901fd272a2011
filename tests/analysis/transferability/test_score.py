import numpy as np
import pytest

from transferkit.analysis.transferability import SCORES
from transferkit.core.errors import DataError, NonFiniteError, ShapeError, UnknownNameError
from transferkit.core.seeding import generator

NAMES = ["logme", "hscore", "hscore-regularized", "transrate", "gbc", "leep", "nce", "nleep"]
FEATURES = [name for name in SCORES if SCORES[name].needs == "features"]


def example(name, *, apart=1.5, n=90, d=12):
    """Return clusters, or probabilities that depend on the class; ``apart`` is the strength."""
    rng = generator(0, "example", n)
    y = rng.integers(3, size=n)
    if SCORES[name].needs == "features":
        centres = np.eye(3, d)
        return apart * centres[y] + rng.normal(size=(n, d)), y
    logits = rng.normal(size=(n, 5)) + apart * np.eye(3, 5)[y]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), y


def test_every_score_is_listed():
    assert set(SCORES) == set(NAMES)
    assert {name for name in SCORES if SCORES[name].needs == "probabilities"} == {"leep", "nce"}
    assert len({SCORES[name].title for name in SCORES}) == len(NAMES)
    with pytest.raises(UnknownNameError, match=r"No transferability score named 'logmi'\. Did you mean 'logme'"):
        SCORES["logmi"]


@pytest.mark.parametrize("name", NAMES)
def test_higher_is_better(name):
    values = [SCORES[name](*example(name, apart=apart), seed=0) for apart in (0, 1.5, 4)]
    assert values == sorted(values)
    assert values[2] > values[0]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_classes_do_not_matter_nor_ones_without_rows(name):
    x, y = example(name)
    assert SCORES[name](x, 90 - 7 * y, seed=0) == pytest.approx(SCORES[name](x, y, seed=0), rel=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "nleep"])
def test_order_of_rows_does_not_matter(name):
    x, y = example(name)
    order = generator(1, "order").permutation(len(y))
    assert SCORES[name](x[order], y[order], seed=0) == pytest.approx(SCORES[name](x, y, seed=0), rel=1e-9)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_scale_of_features_does_not_matter(name, scale):
    x, y = example(name)
    assert SCORES[name](scale * x, y, seed=0) == pytest.approx(SCORES[name](x, y, seed=0), rel=1e-6)


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "logme"])
def test_shift_of_features_does_not_matter(name):
    x, y = example(name)
    assert SCORES[name](x + 50, y, seed=0) == pytest.approx(SCORES[name](x, y, seed=0), rel=1e-6)


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "nleep"])
@pytest.mark.parametrize("n", [90, 9])
def test_rotation_of_features_does_not_matter(name, n):
    x, y = example(name, n=n)
    turn = np.linalg.qr(generator(0, "turn").normal(size=(12, 12)))[0]
    assert SCORES[name](x @ turn, y, seed=0) == pytest.approx(SCORES[name](x, y, seed=0), rel=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_computed_in_full(name):
    x, y = example(name)
    half = x.astype(np.float16)
    assert SCORES[name](half, y, seed=0) == SCORES[name](half.astype(np.float64), y, seed=0)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize(("n", "d"), [(2, 5), (3, 1), (9, 40), (40, 40)])
def test_few_rows_have_a_score(name, n, d):
    x = generator(0, "few", n, d).normal(size=(n, d))
    assert np.isfinite(SCORES[name](x, np.arange(n) % 2, seed=0))


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "hscore-regularized"])
def test_constant_columns_change_nothing_but_a_bias(name):
    """The regularised score is left out, since it shrinks all variances, those of constant columns included."""
    x, y = example(name)
    wider = np.hstack([x, np.zeros((len(x), 3))])
    assert SCORES[name](wider, y, seed=0) == pytest.approx(SCORES[name](x, y, seed=0), rel=1e-7)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_constant_features_have_a_score_below_all_others(name, value):
    x, y = example(name)
    constant = SCORES[name](np.full_like(x, value), y, seed=0)
    assert np.isfinite(constant)
    assert constant < SCORES[name](x, y, seed=0)


@pytest.mark.parametrize("name", FEATURES)
def test_one_row_a_class_has_a_score(name):
    x, _ = example(name, n=10)
    assert np.isfinite(SCORES[name](x, np.arange(10), seed=0))


@pytest.mark.parametrize("name", FEATURES)
def test_every_row_twice_is_no_error(name):
    x, y = example(name)
    assert np.isfinite(SCORES[name](np.repeat(x, 2, axis=0), np.repeat(y, 2), seed=0))


@pytest.mark.parametrize("name", NAMES)
def test_one_class_is_refused(name):
    x, y = example(name)
    with pytest.raises(DataError, match="All 90 rows are of 1 class: this needs at least 2"):
        SCORES[name](x, 0 * y, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_finite_matrix_is_refused(name):
    x, y = example(name)
    what = SCORES[name].needs.capitalize()
    with pytest.raises(ShapeError, match=rf"{what} must be .* not \[90\]"):
        SCORES[name](x[:, 0], y, seed=0)
    with pytest.raises(NonFiniteError, match=f"{what} are NaN or infinite in 90 of 90"):
        SCORES[name](np.nan * x, y, seed=0)


def test_only_the_mixture_draws_and_the_seed_decides():
    assert [name for name in SCORES if SCORES[name].drawn] == ["nleep"]
    x, y = example("nleep")
    first, again, other = (SCORES["nleep"](x, y, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
