import numpy as np
import pytest

from transferkit.mini import scenes
from transferkit.mini.canvas import any_pose
from transferkit.mini.scenes import SIDE, doubled, draw_scene, extent, visible


def slow_extent(cover):
    """The smallest box around the true pixels, by looking at each."""
    places = [(x, y) for y in range(cover.shape[0]) for x in range(cover.shape[1]) if cover[y, x]]
    columns, rows = [x for x, _ in places], [y for _, y in places]
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def test_drawing_does_not_depend_on_what_was_drawn_before():
    alone = draw_scene("train", 5)
    for number in range(3):
        draw_scene("val", number)
    again = draw_scene("train", 5)
    assert (again.image == alone.image).all()
    assert (again.boxes == alone.boxes).all()
    assert (draw_scene("val", 5).image != alone.image).any()


@pytest.mark.parametrize("number", range(12))
def test_marks_are_sane(number):
    scene = draw_scene("test", number)
    assert scene.image.shape == (SIDE, SIDE, 3)
    left, top, right, bottom = scene.boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= SIDE).all()
    assert (bottom <= SIDE).all()
    box_areas = (right - left) * (bottom - top)
    assert (scene.areas >= 1).all()
    assert (scene.areas <= box_areas).all()
    assert len(scene.boxes) == len(scene.labels) == len(scene.difficult) <= 6


def test_boxes_are_those_of_the_pixels_that_an_object_changes(monkeypatch):
    """The only object is green on black without noise, so its box is that of the green pixels."""
    found = 0
    for number in range(30):
        with monkeypatch.context() as patch:
            patch.setattr(scenes, "background", lambda kind, rng: np.zeros((64, 64, 3)))
            drawn = []
            original = scenes._object

            def green(kind, rng, original=original, drawn=drawn):
                _, alpha = original(kind, rng)
                drawn.append(alpha)
                return np.broadcast_to([0.0, 1.0, 0.0], (64, 64, 3)), alpha

            patch.setattr(scenes, "_object", green)
            patch.setattr(scenes, "MAX_OBJECTS", 1)
            scene = draw_scene("train", number)
        if len(scene.labels) == 1:
            found += 1
            lit = scene.image[..., 1] > 0.5 * np.percentile(scene.image[..., 1], 99.9)
            tall = np.abs(scene.boxes[0] - np.array(slow_extent(lit)))
            assert tall.max() <= 1, "noise may move a half-covered pixel over the limit"
    assert found > 20


def test_later_objects_hide_earlier_ones():
    below, above = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
    below[10:20, 10:30] = True
    above[5:25, 20:40] = True
    seen = visible([(0, below), (1, above)])
    assert extent(seen[0]) == slow_extent(seen[0]) == (10, 10, 20, 20), "of what stays visible"
    assert extent(seen[1]) == (20, 5, 40, 25)
    assert visible([]) == []


def test_extent_of_single_pixels():
    for x, y in ((0, 0), (127, 127), (3, 90)):
        cover = np.zeros((SIDE, SIDE), bool)
        cover[y, x] = True
        assert extent(cover) == (x, y, x + 1, y + 1)


def test_doubling_keeps_flats_means_and_ramps():
    flat = np.full((4, 5, 3), 0.3)
    assert doubled(flat).shape == (8, 10, 3)
    assert np.allclose(doubled(flat), 0.3)
    ramp = np.broadcast_to(np.arange(6.0)[None, :, None], (4, 6, 3))
    assert np.allclose(doubled(ramp)[0, 1:-1, 0], np.arange(10) / 2 + 0.25)
    noise = np.random.default_rng(0).random((6, 6, 3))
    assert doubled(noise).mean() == pytest.approx(noise.mean(), abs=0.05)


def test_objects_are_hidden_little_and_marked_when_more():
    for number in range(25):
        scene = draw_scene("train", number)
        if scene.difficult.any():
            break
    assert scene.difficult.any(), "some object of the first pictures is hidden by more than half"


def test_poses_lie_on_their_tile():
    for number in range(50):
        pose = any_pose(np.random.default_rng(number), size=(0.3, 0.9), stray=0.85)
        assert pose.size / 2 <= pose.x <= 1 - pose.size / 2
