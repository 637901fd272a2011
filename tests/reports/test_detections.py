import numpy as np
import pytest

from tests.protocols.detecting.scenes import split
from transferkit.core.errors import ShapeError
from transferkit.detection.detections import Detections
from transferkit.reports.detections import detections_sheet


def found(*scores):
    k = len(scores)
    boxes = np.tile(np.array([20, 30, 90, 100], np.float32), (k, 1))
    return Detections(boxes, np.zeros(k, np.int64), np.array(scores, np.float32))


def test_a_sheet_shows_only_confident_boxes():
    one = split("train", range(2))
    sure, unsure, none = (
        np.asarray(detections_sheet(one, [found(*scores), Detections.nothing()])) for scores in ((0.9,), (0.1,), ())
    )
    assert not np.array_equal(sure, none)
    assert np.array_equal(unsure, none)
    assert not np.array_equal(np.asarray(detections_sheet(one, [Detections.nothing(), found(0.9)])), sure)


def test_pictures_that_cannot_be_read_are_left_out():
    whole = split("train", range(3))
    nothing = [Detections.nothing()] * 3
    assert (
        detections_sheet(split("train", range(3), broken=[1]), nothing).width < detections_sheet(whole, nothing).width
    )
    with pytest.raises(ShapeError, match="at least 1 picture"):
        detections_sheet(split("train", range(1), broken=[0]), nothing[:1])


def test_no_more_images_than_requested_are_drawn():
    one = split("train", range(5))
    nothing = [Detections.nothing()] * 5
    assert detections_sheet(one, nothing, most=2).width < detections_sheet(one, nothing, most=3).width
