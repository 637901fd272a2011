from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from transferkit.core.errors import ShapeError
from transferkit.reports.boxes import Boxed, boxed_image, boxes_sheet, write_sheet
from transferkit.reports.figures import COLOURS

GREY = np.full((50, 100, 3), 90, np.uint8)
ONE = Boxed(GREY, np.array([[20.0, 10, 60, 40]]), np.array([1]))


def colour(label):
    digits = COLOURS[label].removeprefix("#")
    return tuple(int(digits[at : at + 2], 16) for at in (0, 2, 4))


def test_a_box_is_drawn_where_it_is():
    tile = boxed_image(ONE, ("a", "b"), side=200)
    assert tile.size == (200, 200)
    assert tile.getpixel((100, 190)) == (221, 221, 221), "below the image, which keeps its shape"
    for edge in ((40, 50), (119, 50), (110, 20), (80, 79)):
        assert tile.getpixel(edge) == colour(1)
    for beside in ((36, 50), (124, 50), (110, 84), (80, 50)):
        assert tile.getpixel(beside) == (90, 90, 90)


def test_faint_boxes_are_thin():
    thick, thin = (
        np.asarray(boxed_image(replace(ONE, faint=np.array([faint])), ("a", "b"), side=200)) for faint in (False, True)
    )
    lines = [(image[50, 40:120] == colour(1)).all(1).sum() for image in (thick, thin)]
    assert lines == [6, 2]


def test_scores_are_written():
    without = boxed_image(ONE, ("a", "b"), side=200)
    scored = boxed_image(replace(ONE, scores=np.array([0.5])), ("a", "b"), side=200)
    assert np.asarray(scored)[:, 60:].tolist() != np.asarray(without)[:, 60:].tolist()


def test_labels_at_the_edge_stay_inside():
    edge = replace(ONE, boxes=np.array([[0.0, 0, 100, 50]]))
    tile = np.asarray(boxed_image(edge, ("a", "b"), side=200))
    assert (tile[3:8, 1] == colour(1)).all()


def test_a_sheet_has_one_tile_per_image(tmp_path):
    bare = Boxed(GREY, np.empty((0, 4)), np.empty(0, int), title="none")
    sheet = boxes_sheet([ONE, bare, ONE], ("a", "b"), columns=2, side=64)
    assert sheet.size == (2 * 70 + 6, 2 * 84 + 6)
    assert sheet.getpixel((142, 130)) == (255, 255, 255), "no fourth image"
    assert boxes_sheet([ONE], ("a", "b"), columns=4, side=64).size == (76, 90)
    write_sheet(sheet, tmp_path / "deep" / "sheet.png")
    with Image.open(tmp_path / "deep" / "sheet.png") as again:
        assert (np.asarray(again) == np.asarray(sheet)).all()


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ShapeError, match=r"2 labels need .* boxes \[2, 4\], not \[50, 100, 3\] and \[1, 4\]"):
        boxed_image(replace(ONE, labels=np.array([0, 1])), ("a", "b"), side=64)
    with pytest.raises(ShapeError, match="at least 1 picture, not 0"):
        boxes_sheet([], ())
