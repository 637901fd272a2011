import math
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from tests.reference import separation as reference
from transferkit.analysis import separation as subject
from transferkit.analysis.separation import (
    Separation,
    class_separation_interval,
    separation,
    uniformity,
)
from transferkit.core.errors import NonFiniteError, ShapeError
from transferkit.core.seeding import generator


def clusters(count=(4, 7, 2), d=5, spread=1.0):
    rng = generator(0, "clusters", len(count), d)
    y = np.repeat(np.arange(len(count)), count)
    return 2 * rng.normal(size=(len(count), d))[y] + spread * rng.normal(size=(len(y), d)), y


def close(found: Separation, expected: Separation, **tolerance: float) -> None:
    one, other = asdict(found), asdict(expected)
    assert one == {name: pytest.approx(value, **tolerance) for name, value in other.items()}


def test_agrees_with_the_reference_pair_by_pair():
    x, y = clusters()
    labels = y.tolist()
    expected = Separation(
        intra_squared=reference.intra(x, labels, reference.squared),
        inter_squared=reference.inter(x, labels, reference.squared),
        intra_cosine=reference.intra(x, labels, reference.cosine),
        inter_cosine=reference.inter(x, labels, reference.cosine),
        class_separation=reference.class_separation(x, labels),
        alignment=2 * reference.intra(x, labels, reference.cosine),
        uniformity=reference.uniformity(x),
        zero_rows=0,
    )
    close(separation(x, y), expected, rel=1e-5)
    assert separation(x, y).class_separation == pytest.approx(expected.class_separation, rel=1e-12)
    assert separation(x, y).intra_cosine == pytest.approx(expected.intra_cosine, rel=1e-12)


def test_clusters_of_known_spread():
    """The expected squared distance is 2 d σ² inside a class, and larger by ‖μ_a - μ_b‖² between classes."""
    rng = generator(0, "known")
    y = np.repeat([0, 1], 4000)
    x = 0.5 * rng.normal(size=(8000, 10)) + np.where(y, 3.0, 0.0)[:, None]
    found = separation(x, y)
    assert found.intra_squared == pytest.approx(2 * 10 * 0.25, rel=0.02)
    assert found.inter_squared == pytest.approx(2 * 10 * 0.25 + 90, rel=0.02)


def test_uniform_directions_have_the_uniformity_of_the_circle():
    """The mean of exp(4 (cos - 1)) over the circle is exp(-4) I₀(4)."""
    angle = 2 * np.pi * np.arange(2000) / 2000
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert uniformity(circle) == pytest.approx(math.log(math.exp(-4) * np.i0(4.0)), abs=2e-3)


def test_uniformity_in_chunks_is_the_same(monkeypatch):
    x, _ = clusters((30, 21))
    whole = uniformity(x)
    monkeypatch.setattr(subject, "CHUNK", 7 * len(x))
    assert uniformity(x) == pytest.approx(whole, rel=1e-6)


def test_order_rotation_and_names_of_classes_do_not_matter():
    x, y = clusters()
    order = generator(0, "order").permutation(len(y))
    turn = np.linalg.qr(generator(0, "turn").normal(size=(5, 5)))[0]
    close(separation((x @ turn)[order], 10 - 3 * y[order]), separation(x, y), rel=1e-6)


def test_scale_matters_to_squared_distances_alone():
    x, y = clusters()
    once, scaled = separation(x, y), separation(1e3 * x, y)
    assert scaled.intra_squared == pytest.approx(1e6 * once.intra_squared)
    assert scaled.inter_squared == pytest.approx(1e6 * once.inter_squared)
    assert scaled.class_separation == pytest.approx(once.class_separation)
    lengths = generator(0, "lengths").uniform(0.1, 9, size=(len(y), 1))
    assert separation(lengths * x, y).inter_cosine == pytest.approx(once.inter_cosine)


def test_class_separation_does_not_depend_on_how_many_rows_a_class_has():
    x, y = clusters()
    again = np.concatenate([np.arange(len(y)), np.flatnonzero(y == 1)])
    assert separation(x[again], y[again]).class_separation == pytest.approx(separation(x, y).class_separation)


def test_classes_that_collapse_to_points_are_apart_entirely():
    x = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    found = separation(x, [0, 0, 1, 1, 2, 2])
    assert (found.intra_squared, found.inter_squared, found.class_separation) == (0, 2, 1)
    assert (found.intra_cosine, found.inter_cosine, found.alignment) == (0, 1, 0)


def test_nearly_collapsed_classes_keep_their_digits():
    """Distances of 1e-8 are exact even if all rows have an offset of 1."""
    x = np.array([[1.0, 0.0], [1.0, 1e-8], [0.0, 1.0], [1e-8, 1.0]])
    found = separation(x, [0, 0, 1, 1])
    assert found.intra_cosine == pytest.approx(0.5e-16, rel=1e-6)
    assert found.intra_squared == pytest.approx(1e-16, rel=1e-6)


def test_one_class_has_no_pairs_across():
    found = separation(clusters()[0], np.zeros(13, int))
    assert found.inter_squared is None
    assert found.inter_cosine is None
    assert found.class_separation == 0
    assert found.intra_squared > 0


def test_one_row_a_class_has_no_pairs_within():
    x, _ = clusters()
    found = separation(x, np.arange(13))
    assert (found.intra_squared, found.intra_cosine, found.alignment, found.class_separation) == (None,) * 4
    assert found.inter_squared > 0


@pytest.mark.parametrize("lengths", [np.ones(6), np.array([1, 2, 3, 7, 0.3, 11])])
def test_rows_of_one_direction_are_no_distance_apart(lengths):
    found = separation(lengths[:, None] * np.array([[1.0, 3.0, 0.7]]), [0, 0, 0, 1, 1, 1])
    assert found.class_separation is None
    assert found.intra_cosine == pytest.approx(0, abs=1e-15)
    assert found.uniformity == pytest.approx(0, abs=1e-6)


def test_rows_of_zeros_are_left_out_of_cosines_and_counted():
    x, y = clusters()
    with_zeros = np.concatenate([x, np.zeros((2, 5))])
    found, without = separation(with_zeros, [*y, 0, 1]), separation(x, y)
    assert found.zero_rows == 2
    assert found.class_separation == pytest.approx(without.class_separation)
    assert found.uniformity == pytest.approx(without.uniformity)
    assert found.intra_squared != without.intra_squared


def test_nothing_but_zeros_has_no_direction():
    found = separation(np.zeros((4, 3)), [0, 0, 1, 1])
    assert found == Separation(0, 0, None, None, None, None, None, 4)


def test_one_row_has_no_pairs():
    assert separation([[1.0, 2.0]], [0]) == Separation(None, None, None, None, None, None, None, 0)
    assert uniformity([[1.0, 2.0], [0.0, 0.0]]) is None


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_no_length_under_or_overflows(scale):
    x, y = clusters()
    assert separation(scale * x, y).class_separation == pytest.approx(separation(x, y).class_separation)


def test_half_precision_is_computed_in_full():
    x, y = clusters()
    half = (100 * x).astype(np.float16)
    assert separation(half, y) == separation(half.astype(np.float64), y)


def test_what_is_no_matrix_is_refused():
    with pytest.raises(ShapeError, match=r"not \[3\]"):
        uniformity(np.ones(3))
    with pytest.raises(NonFiniteError, match="first in row 1"):
        separation([[1.0], [np.nan]], [0, 1])
    with pytest.raises(ShapeError, match="2 rows need"):
        separation([[1.0], [2.0]], [0])


def test_the_interval_is_the_jackknife_within_classes():
    x, y = clusters((14, 20, 1, 9))
    without = np.array([separation(np.delete(x, i, 0), np.delete(y, i)).class_separation for i in range(44)])
    variance = sum((own := without[y == c]).var() * (len(own) - 1) for c, n in enumerate(np.bincount(y)) if n > 1)
    half = stats.norm.ppf(0.975) * math.sqrt(variance)
    value, found = separation(x, y).class_separation, class_separation_interval(x, y)
    assert (found.low, found.high) == pytest.approx((value - half, value + half), rel=1e-9)
    assert found.method == "jackknife"


@pytest.mark.parametrize("several", [False, True], ids=["one class a group", "several classes a group"])
def test_with_groups_each_group_is_left_out_as_a_whole(several):
    x, y = clusters((20, 36, 24))
    group = np.concatenate([np.arange(20) // 2, np.arange(36) // 3, np.arange(24) // 2])
    if several:
        group %= 10  # each group has rows of every class
    if not several:
        group += 100 * y
    names, strata = np.unique(group), {}
    for g in names:
        keep = group != g
        value = separation(x[keep], y[keep]).class_separation
        strata.setdefault("all" if several else int(y[group == g][0]), []).append(value)
    variance = sum(np.var(own) * (len(own) - 1) for own in strata.values())
    half = stats.norm.ppf(0.975) * math.sqrt(variance)
    value, found = separation(x, y).class_separation, class_separation_interval(x, y, list(map(str, group)))
    assert (found.low, found.high) == pytest.approx((max(0, value - half), min(1, value + half)), rel=1e-9)


def test_a_class_that_is_a_single_group_adds_no_variance():
    x, y = clusters((20, 20, 4))
    group = [str(i) if i < 40 else "last" for i in range(44)]
    rest, found = class_separation_interval(x, y), class_separation_interval(x, y, group)
    assert 0 < found.high - found.low < rest.high - rest.low


@pytest.mark.parametrize(
    ("sizes", "groups"), [((9, 9, 9), None), ((20, 20), ["all"] * 40), ((30, 30), [f"of {i // 6}" for i in range(60)])]
)
def test_few_rows_or_groups_per_class_have_no_interval(sizes, groups):
    found = class_separation_interval(*clusters(sizes), groups)
    assert (found.limits, found.method) == (None, "none: fewer than 10 rows or groups per class")


@pytest.mark.parametrize("apart", [0.0, 0.3, 3.0])
def test_with_ten_rows_per_class_the_interval_contains_the_value_and_mostly_the_expected_one(apart):
    y = np.repeat([0, 1, 2], 10)
    middles = apart * generator(0, "middles").normal(size=(3, 16))
    drawn = [middles[y] + generator(draw, "few").normal(size=(30, 16)) for draw in range(100)]
    values = [separation(x, y).class_separation for x in drawn]
    intervals = [class_separation_interval(x, y) for x in drawn]
    assert all(0 <= i.low < v < i.high <= 1 for v, i in zip(values, intervals, strict=True))
    expected = np.mean(values)
    assert np.mean([i.low <= expected <= i.high for i in intervals]) >= 0.88


@pytest.mark.parametrize(
    ("x", "y"), [(np.zeros((4, 2)), [0, 0, 1, 1]), (np.eye(3), [0, 1, 2]), (np.ones((4, 2)), [0, 0, 1, 1])]
)
def test_without_a_class_separation_there_is_no_interval(x, y):
    assert separation(x, y).class_separation is None
    assert class_separation_interval(x, y) is None


def test_an_only_row_of_a_class_and_rows_all_alike_but_one_leave_an_interval():
    x, y = np.tile([1.0, 0], (40, 1)), np.array([0] * 39 + [1])
    x[38:] = [0, 1]
    found = class_separation_interval(x, y)
    assert 0 <= found.low <= separation(x, y).class_separation <= found.high <= 1
