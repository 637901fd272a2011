import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferkit.core.errors import UsageError
from transferkit.data.detection.boxed import Annotation, ImageBoxes
from transferkit.data.detection.transforms import (
    TrainingView,
    flipped,
    flipped_boxes,
    padded_batch,
    resized,
    resized_boxes,
    scaled_size,
)

SIDES = st.integers(1, 40)


@st.composite
def pictures(draw):
    """A picture black but for white rectangles that do not overlap, one a column, and their boxes."""
    height, width = draw(st.integers(4, 30)), draw(st.integers(8, 30))
    marks = []
    edges = sorted(draw(st.sets(st.integers(0, width), min_size=2, max_size=6)))
    for left, right in zip(edges[::2], edges[1::2], strict=False):
        top = draw(st.integers(0, height - 1))
        marks.append(Annotation((left, top, right, draw(st.integers(top + 1, height))), draw(st.integers(0, 3))))
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    for mark in marks:
        left, top, right, bottom = map(int, mark.box)
        image[:, top:bottom, left:right] = 255
    return image, ImageBoxes.of(marks)


def content(image, box):
    left, top, right, bottom = (int(edge) for edge in box)
    return image[:, top:bottom, left:right]


@settings(max_examples=60, deadline=None)
@given(pictures())
def test_boxes_follow_a_flip(picture):
    image, objects = picture
    mirrored, moved = flipped(image, objects)
    for before, after in zip(objects.boxes, moved.boxes, strict=True):
        assert torch.equal(content(mirrored, after), content(image, before).flip(2))
    again, back = flipped(mirrored, moved)
    assert torch.equal(again, image)
    assert (back.boxes == objects.boxes).all()
    assert (moved.labels == objects.labels).all()
    assert (moved.areas == objects.areas).all()


@settings(max_examples=60, deadline=None)
@given(pictures(), st.integers(2, 4), st.integers(2, 4))
def test_boxes_follow_a_resize_by_whole_numbers(picture, down, right):
    image, objects = picture
    size = (image.shape[1] * down, image.shape[2] * right)
    larger, moved = resized(image, objects, size)
    assert larger.shape == (3, *size)
    for before, after in zip(objects.boxes, moved.boxes, strict=True):
        inner = content(larger, after)[:, down // 2 : -(down // 2), right // 2 : -(right // 2)]
        assert (inner == 255).all(), "what the box holds is the object"
        assert after.tolist() == [before[0] * right, before[1] * down, before[2] * right, before[3] * down]
    assert moved.areas.tolist() == pytest.approx((objects.areas * down * right).tolist())


@settings(max_examples=60, deadline=None)
@given(pictures(), SIDES, SIDES)
def test_boxes_survive_any_resize(picture, height, width):
    image, objects = picture
    _, moved = resized(image, objects, (height, width))
    left, top, right, bottom = moved.boxes.T
    assert (left >= 0).all()
    assert (right <= width * (1 + 1e-6)).all()
    assert (top >= 0).all()
    assert (bottom <= height * (1 + 1e-6)).all()
    assert (right > left).all()
    assert (bottom > top).all()
    back = resized_boxes(moved.boxes, (height, width), image.shape[1:])
    assert back == pytest.approx(objects.boxes, abs=1e-3)
    flip_then = resized_boxes(flipped_boxes(objects.boxes, image.shape[2]), image.shape[1:], (height, width))
    assert flip_then == pytest.approx(flipped_boxes(moved.boxes, width), abs=1e-3)


def test_torchvision_agrees():
    from torchvision.transforms.v2 import functional
    from torchvision.tv_tensors import BoundingBoxes

    boxes = np.array([[1, 2, 7, 9], [0, 0, 20, 10]], np.float32)
    theirs = BoundingBoxes(torch.from_numpy(boxes), format="XYXY", canvas_size=(10, 20))
    assert np.allclose(functional.horizontal_flip(theirs).numpy(), flipped_boxes(boxes, 20))
    assert np.allclose(functional.resize(theirs, [25, 33]).numpy(), resized_boxes(boxes, (10, 20), (25, 33)))


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 640, (800, 1067)), (640, 480, (1067, 800)), (300, 900, (444, 1333)), (1, 9000, (1, 1333))],
)
def test_the_size_that_detectors_are_fed(height, width, expected):
    assert scaled_size(height, width, shorter=800, max_size=1333) == expected


def test_the_training_view_draws_scales_and_flips():
    image = torch.arange(3 * 6 * 8, dtype=torch.uint8).reshape(3, 6, 8)
    objects = ImageBoxes.of([Annotation((0, 0, 2, 6), 0)])
    view = TrainingView(shorter=(6, 12), max_size=40)
    seen = {
        (tuple(moved.shape[1:]), float(boxes.boxes[0, 0]) > 0)
        for seed in range(30)
        for moved, boxes in [view(image, objects, np.random.default_rng(seed))]
    }
    assert seen == {((6, 8), False), ((6, 8), True), ((12, 16), False), ((12, 16), True)}
    never = TrainingView(shorter=(6,), max_size=40, flip_prob=0)
    assert torch.equal(never(image, objects, np.random.default_rng(0))[0], image)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shorter": ()}, "The shorter side cannot be none"),
        ({"shorter": (0,)}, "cannot be 0 with a longer side of 1333"),
        ({"max_size": 799}, "none above the longer side"),
        ({"flip_prob": 1.5}, r"flip probability 1\.5 is invalid"),
    ],
)
def test_invalid_training_views_are_rejected(options, words):
    with pytest.raises(UsageError, match=words):
        TrainingView(**options)


def test_a_batch_is_padded_right_and_below():
    batch = padded_batch([torch.ones(3, 2, 5, dtype=torch.uint8), torch.ones(3, 4, 1, dtype=torch.uint8)])
    assert batch.shape == (2, 3, 4, 5)
    assert batch.sum((1, 2, 3)).tolist() == [30, 12]
    assert batch[0, :, :2, :5].all()
    assert batch[1, :, :4, :1].all()
