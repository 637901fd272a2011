import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.reference.polygon_distance import polygon_distance
from transferkit.mini import distances as d
from transferkit.mini import objects
from transferkit.mini.canvas import (
    SIZE,
    Pose,
    X,
    Y,
    any_pose,
    blank,
    cell_distances,
    coverage,
    fractal_noise,
    hsv,
    ink_and_paper,
    lookup,
    mixed,
    over,
    photographed,
    quantised,
    shading,
    smooth_noise,
)

U, V = Pose(0.5, 0.5, 0.8).local()


@pytest.mark.parametrize(
    "corners",
    [
        [(-0.5, -0.5), (0.5, -0.4), (0.1, 0.8)],
        [(-0.9, 0.1), (0.0, -0.2), (0.9, 0.1), (0.9, 0.6), (0.0, 0.2), (-0.9, 0.6)],
        d.regular(5, inner=0.4),
    ],
    ids=["triangle", "chevron", "star"],
)
def test_a_polygon_is_as_far_as_its_nearest_edge(corners):
    distance = d.polygon(U, V, corners)
    for i, j in np.random.default_rng(0).integers(0, SIZE, (25, 2)):
        assert distance[i, j] == pytest.approx(polygon_distance(U[i, j], V[i, j], corners), abs=1e-3)


def test_a_polygon_does_not_depend_on_where_its_outline_starts_or_turns():
    corners = d.regular(5, inner=0.4)
    assert_allclose(d.polygon(U, V, corners), d.polygon(U, V, [*corners[3:], *corners[:3]]), atol=1e-12)
    assert_allclose(d.polygon(U, V, corners), d.polygon(U, V, corners[::-1]), atol=1e-12)


def test_many_corners_are_a_disc():
    assert_allclose(d.polygon(U, V, d.regular(200)), d.disc(U, V), atol=2e-4)


def test_a_round_ellipse_is_a_disc():
    assert_allclose(d.ellipse(U, V, (0.6, 0.6), x=0.1, y=-0.2), d.disc(U, V, 0.6, 0.1, -0.2), atol=1e-12)


def test_an_ellipse_is_a_tenth_away_a_tenth_outside_its_ends():
    u, v = np.array([[0.9, 0.0]]), np.array([[0.0, 0.5]])
    assert_allclose(d.ellipse(u, v, (0.8, 0.4)), [[0.1, 0.1]], rtol=0.3)
    assert (d.ellipse(u * 0.8, v * 0.7, (0.8, 0.4)) < 0).all()


def test_a_segment_of_no_length_is_a_point():
    assert_allclose(d.segment(U, V, (0.2, 0.3), (0.2, 0.3)), np.hypot(U - 0.2, V - 0.3))


def test_a_polyline_is_the_nearest_of_its_segments():
    points = [(-0.8, 0.0), (0.0, 0.5), (0.3, -0.6), (0.9, 0.9)]
    parts = [d.segment(U, V, points[k], points[k + 1]) for k in range(3)]
    assert_allclose(d.polyline(U, V, points), np.minimum.reduce(parts))


def test_a_constant_polar_curve_is_a_disc():
    near = np.abs(d.disc(U, V, 0.7)) < 0.3
    assert_allclose(d.polar(U, V, np.full(U.shape, 0.7))[near], d.disc(U, V, 0.7)[near], atol=0.01)


def test_a_level_set_is_scaled_to_distance():
    level = 7 * d.disc(U, V, 0.7)
    near = np.abs(d.disc(U, V, 0.7)) < 0.3
    assert_allclose(d.level_set(level, U, V)[near], d.disc(U, V, 0.7)[near], atol=0.01)


def test_arcs_lie_on_their_circle():
    points = np.array(d.arc(0.5, 0.0, 3.0, 0.1, 0.2))
    assert_allclose(np.hypot(*(points - [0.1, 0.2]).T), 0.5)
    assert len(points) > 7


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.1, 2.7])
def test_coverage_adds_up_to_the_area_at_any_angle(angle):
    pose = Pose(0.5, 0.5, 0.6, angle)
    u, v = pose.local()
    assert pose.cover(d.box(u, v, (0.7, 0.5))).mean() == pytest.approx(0.42 * 0.3, rel=0.01)


def test_a_pose_is_undone_by_its_opposite():
    there = Pose(0.3, 0.6, 1.0, 0.7).local()
    x, y = (there[k][20, 40] / 2 for k in (0, 1))
    c, s = math.cos(0.7), math.sin(0.7)
    assert (0.3 + c * x - s * y, 0.6 + s * x + c * y) == pytest.approx((X[20, 40], Y[20, 40]))


def test_poses_stay_inside_the_image():
    for seed in range(200):
        pose = any_pose(np.random.default_rng(seed), size=(0.3, 0.9), stray=1.0)
        assert pose.size / 2 - 1e-9 <= pose.x <= 1 - pose.size / 2 + 1e-9
        assert pose.size / 2 - 1e-9 <= pose.y <= 1 - pose.size / 2 + 1e-9
        assert 0.3 <= pose.size <= 0.9
        assert 0 <= pose.factors()["rotation"] < math.tau


def test_softness_widens_edges():
    assert (coverage(X - 0.5) % 1 > 0).sum() < (coverage(X - 0.5, softness=8) % 1 > 0).sum()


def test_paint_covers_where_alpha_is_one():
    canvas = blank(np.array([0.2, 0.4, 0.6]))
    over(canvas, np.ones(3), (X > 0.5).astype(float))
    assert (canvas[:, 40] == 1).all()
    assert (canvas[:, 10] == [0.2, 0.4, 0.6]).all()


def test_mixing_runs_from_low_to_high():
    canvas = mixed(np.zeros(3), np.array([1.0, 0.5, 0.25]), X)
    assert_allclose(canvas[5], X[5][:, None] * [1.0, 0.5, 0.25])


def test_hues_repeat_every_turn():
    assert_allclose(hsv(1.25, 0.5, 0.8), hsv(0.25, 0.5, 0.8))
    assert_allclose(hsv(0.0, 1.0, 1.0), [1, 0, 0])


def test_ink_differs_from_paper_in_brightness():
    for seed in range(100):
        ink, paper, lighter = ink_and_paper(np.random.default_rng(seed), contrast=0.3)
        assert abs(ink.max() - paper.max()) >= 0.3 - 1e-9
        assert (ink.max() > paper.max()) == bool(lighter)


@pytest.mark.parametrize("noise", [smooth_noise, fractal_noise])
def test_noise_lies_between_zero_and_one_and_varies(noise):
    plane = noise(np.random.default_rng(0), 5)
    assert plane.shape == (SIZE, SIZE)
    assert plane.min() >= 0
    assert plane.max() <= 1
    assert plane.std() > 0.05


def test_smooth_noise_has_the_values_of_its_lattice():
    values = np.random.default_rng(3).random((33, 33))
    plane = smooth_noise(np.random.default_rng(3), 32)
    t = 0.25**2 * (3 - 2 * 0.25)
    top = values[4, 7] * (1 - t) + values[4, 8] * t
    bottom = values[5, 7] * (1 - t) + values[5, 8] * t
    assert plane[8, 14] == pytest.approx(top * (1 - t) + bottom * t)


def test_lookup_repeats_its_table():
    table = np.arange(6.0).reshape(2, 3)
    column, row = np.array([[0.5, 1.5, 3.2, -0.5]]), np.array([[0.1, 1.9, 2.0, -1.0]])
    assert lookup(table, column, row).tolist() == [[0.0, 4.0, 0.0, 5.0]]


def test_cell_distances_are_those_of_the_two_nearest_points():
    u, v = np.meshgrid(np.linspace(0.1, 4.9, 7), np.linspace(0.2, 4.8, 7))
    first, second = cell_distances(u, v, np.random.default_rng(0))
    table = np.random.default_rng(0).random((9, 9, 2))
    for place in np.ndindex(7, 7):
        away = sorted(
            math.hypot(
                u[place] - column - table[row % 9, column % 9, 0],
                v[place] - row - table[row % 9, column % 9, 1],
            )
            for row in range(-2, 8)
            for column in range(-2, 8)
        )
        assert first[place] == pytest.approx(away[0])
        assert second[place] == pytest.approx(away[1], abs=0.35), "only the nine cells around are searched"


def test_flat_ground_is_evenly_lit_and_slopes_towards_the_light_are_bright():
    assert_allclose(shading(np.zeros((SIZE, SIZE)), 0.3, 1.0), 1.0)
    rising = shading(0.5 * X, 0.0, 1.0)
    assert_allclose(rising, 0.5)
    assert_allclose(shading(0.5 * X, math.pi, 1.0), 1.5)
    assert_allclose(shading(0.5 * X, math.pi / 2, 1.0), 1.0)


def test_photographs_are_brighter_on_the_side_of_the_light():
    for seed in range(20):
        lit, light = photographed(np.full((SIZE, SIZE, 3), 0.5), np.random.default_rng(seed), grain=0.0)
        towards = X * math.cos(light["light_direction"]) + Y * math.sin(light["light_direction"])
        assert np.corrcoef(lit[..., 0].ravel(), towards.ravel())[0, 1] > 0.999
        assert 0 <= light["light_strength"] <= 0.5


def test_bytes_are_rounded_and_clipped():
    canvas = np.array([-0.2, 0.0, 0.0019, 0.0020, 1.0, 7.0])
    assert quantised(canvas).tolist() == [0, 0, 0, 1, 255, 255]


@pytest.mark.parametrize("shape", objects.SHAPES)
def test_shapes_fill_their_circle_and_stay_near_it(shape):
    pose = Pose(0.5, 0.5, 0.6)
    u, v = pose.local()
    inside = pose.cover(objects.SHAPES[shape](u, v)) > 0.5
    assert 0.12 < inside.sum() / (np.hypot(u, v) < 1).sum() < 0.95
    assert 0.85 < np.hypot(u, v)[inside].max() < 1.25


def test_the_factors_of_an_object_are_where_it_is():
    rng = objects.PLAN.rng("train", "disc", 0)
    canvas, factors = objects.draw("disc", rng)
    assert canvas.shape == (SIZE, SIZE, 3)
    assert set(factors) == {
        "position_x", "position_y", "size", "rotation", "hue", "texture", "background",
        "light_direction", "light_strength",
    }  # fmt: skip
    assert 0 <= factors["texture"] < len(objects.TEXTURES)
    assert 0 <= factors["background"] < len(objects.BACKGROUNDS)


def test_position_and_size_can_be_read_off_the_picture(monkeypatch):
    monkeypatch.setattr(objects, "background", lambda kind, rng: np.zeros((SIZE, SIZE, 3)))
    monkeypatch.setattr(objects, "texture", lambda kind, u, v, rng: np.zeros((SIZE, SIZE)))
    for number in range(20):
        canvas, factors = objects.draw("disc", objects.PLAN.rng("train", "disc", number))
        seen = canvas.max(axis=2) > 0.2
        assert X[seen].mean() == pytest.approx(factors["position_x"], abs=0.04)
        assert Y[seen].mean() == pytest.approx(factors["position_y"], abs=0.04)
        width = 2 * math.sqrt(seen.mean() / math.pi)
        assert width == pytest.approx(0.88 * factors["size"], rel=0.25)


@pytest.mark.parametrize("kind", range(len(objects.TEXTURES)))
def test_textures_lie_between_zero_and_one(kind):
    plane = objects.texture(kind, U, V, np.random.default_rng(0))
    assert plane.min() >= 0
    assert plane.max() <= 1
    assert plane.std() > 0.02


@pytest.mark.parametrize("kind", range(len(objects.BACKGROUNDS)))
def test_backgrounds_differ_from_seed_to_seed(kind):
    one, other = (objects.background(kind, np.random.default_rng(seed)) for seed in (0, 1))
    assert one.shape == (SIZE, SIZE, 3)
    assert np.abs(one - other).mean() > 0.02
