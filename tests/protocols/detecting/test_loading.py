"""Rows of a training step, their order and their augmentation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.detection.ground_truth import objects
from tests.protocols.detecting.scenes import SMALL, split
from transferkit.core.errors import DataError
from transferkit.protocols.detecting.loading import (
    Order,
    ScoredItems,
    TrainingItems,
    part_of,
    require_objects,
    target_of,
    training_view,
)

SIZES = np.array([[10, 20]] * 7 + [[20, 10]] * 6)


def test_an_epoch_shows_an_image_once_and_rarely_mixes_shapes():
    order = Order(SIZES, 3, seed=0)
    rows = [row for _, row in order.steps(0, 4)]
    assert len(set(np.concatenate(rows).tolist())) == 12
    wide = [(SIZES[row, 1] > SIZES[row, 0]).mean() for row in rows]
    assert sorted(wide) == [0, 0, 1, 1]
    mixed = Order(SIZES[2:], 3, seed=0)  # five wide ones and six tall ones: the rest is mixed
    assert [len(row) for _, row in mixed.steps(0, 3)] == [3, 3, 3]


def test_any_step_can_be_the_first():
    order = Order(SIZES, 3, seed=1)
    everything = list(order.steps(0, 11))
    again = list(order.steps(6, 11))
    for (step, rows), (other, same) in zip(everything[6:], again, strict=True):
        assert step == other
        assert rows.tolist() == same.tolist()
    epochs = [np.concatenate([row for _, row in everything[start : start + 4]]) for start in (0, 4)]
    assert epochs[0].tolist() != epochs[1].tolist()
    assert [row.tolist() for _, row in Order(SIZES, 3, seed=2).steps(0, 2)] != [
        row.tolist() for _, row in everything[:2]
    ]


def test_processes_share_a_batch():
    rows = np.arange(8)
    parts = [part_of(rows, process=process, processes=4) for process in range(4)]
    assert np.concatenate(parts).tolist() == rows.tolist()
    assert {len(part) for part in parts} == {2}


def test_fewer_images_than_a_batch_are_refused():
    with pytest.raises(DataError, match="13 images cannot fill --batch 14"):
        Order(SIZES, 14, seed=0)


def test_a_target_has_difficult_objects_and_no_crowds_or_empty_boxes():
    ground_truth = objects(
        [(0, 0, 5, 5), (1, 1, 6, 6), (2, 2, 2, 9), (3, 3, 8, 8)],
        [0, 1, 2, 2],
        difficult=[True, False, False, False],
        crowd=[False, True, False, False],
    )
    target = target_of(ground_truth, (9, 9))
    assert target["boxes"].tolist() == [[0, 0, 5, 5], [3, 3, 8, 8]]
    assert target["labels"].tolist() == [1, 3]
    empty = target_of(objects([], []), (9, 9))
    assert empty["boxes"].shape == (0, 4)
    assert empty["labels"].dtype == torch.int64


def test_boxes_are_cut_at_the_edge_of_the_image():
    ground_truth = objects([(-3, -1, 5, 5), (4, 2, 25, 13), (20, 0, 30, 5), (-4, 0, 0, 5)], [0, 1, 2, 2])
    target = target_of(ground_truth, (12, 20))
    assert target["boxes"].tolist() == [[0, 0, 5, 5], [4, 2, 20, 12]], "what is left without an area is none"
    assert target["labels"].tolist() == [1, 2]


def test_a_set_without_boxes_to_train_on_or_to_find_is_refused():
    train, scored = split("train", range(2)), split("test", range(2))
    require_objects(train, scored)
    crowds = tuple(replace(one, crowd=np.ones(len(one), bool)) for one in train.objects)
    boxes = sum(map(len, crowds))
    message = rf"mini/scenes has no box to train on in train: all {boxes} are crowds \(iscrowd 1\)\. Correct the"
    with pytest.raises(DataError, match=message):
        require_objects(replace(train, objects=crowds), scored)
    outside = tuple(replace(one, boxes=one.boxes + 500) for one in train.objects)
    with pytest.raises(DataError, match=r"mini/scenes has no box to train on in train\. Correct the"):
        require_objects(replace(train, objects=outside), scored)
    for name in ("crowd", "difficult"):
        ignored = tuple(replace(one, **{name: np.ones(len(one), bool)}) for one in scored.objects)
        with pytest.raises(DataError, match="mini/scenes has no object to score in test, not counting crowds and diff"):
            require_objects(train, replace(scored, objects=ignored))


def test_boxes_follow_the_picture_in_training():
    data = split("train", range(3))
    row = next(row for row in range(3) if len(data.objects[row]))
    items = TrainingItems(data, training_view(replace(SMALL, min_size=(64,), flip_prob=1.0)), seed=0)
    shown = items[0, np.array([row])]
    assert shown.images[0].shape == (3, 64, 64)
    right = 128 - data.objects[row].boxes[:, 0]
    np.testing.assert_allclose(shown.targets[0]["boxes"][:, 2].numpy(), right / 2)
    again = items[0, np.array([row])]
    assert torch.equal(shown.images[0], again.images[0])


def test_boxes_are_those_of_the_picture_that_is_shown_in_place_of_another():
    data = split("train", range(3), broken=[0])
    items = TrainingItems(data, training_view(replace(SMALL, min_size=(128,), flip_prob=0.0)), seed=0)
    shown = items[0, np.array([0])]
    np.testing.assert_allclose(shown.targets[0]["boxes"].numpy(), data.objects[1].boxes)
    assert shown.targets[0]["boxes"].shape != data.objects[0].boxes.shape
    assert shown.reasons == {0: "it is broken"}


def test_a_step_draws_other_views_than_the_next():
    items = TrainingItems(split("train", range(1)), training_view(replace(SMALL, min_size=(64, 96))), seed=0)
    sides = {items[step, np.array([0])].images[0].shape[1] for step in range(12)}
    assert sides == {64, 96}


def test_a_test_leaves_out_what_cannot_be_read():
    shown = ScoredItems(split("train", range(3), broken=[1]), 64, 1333)[np.arange(3)]
    assert shown.rows.tolist() == [0, 2]
    assert [image.shape for image in shown.images] == [(3, 64, 64)] * 2
    assert shown.reasons == {1: "it is broken"}
