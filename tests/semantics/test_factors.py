"""Factors with which images were drawn, as targets."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.semantics.factors import ORIGINS, factor_targets


def only(**factors):
    return factor_targets({"train": factors})["train"]


def test_numbers_stay_numbers():
    found = only(size=np.array([0.2, 0.4]), corner=np.array([[0.0, 1.0], [2.0, 3.0]]))
    assert_allclose(found["factor:size"], [[0.2], [0.4]])
    assert_allclose(found["factor:corner"], [[0, 1], [2, 3]])


def test_angles_are_points_on_the_circle_in_their_own_unit():
    found = only(rotation=np.array([0, np.pi / 2]), hue=np.array([0.25, 0.5]))
    assert_allclose(found["factor:rotation"], [[1, 0], [0, 1]], atol=1e-7)
    assert_allclose(found["factor:hue"], [[0, 1], [-1, 0]], atol=1e-7)


def test_whole_numbers_and_yes_or_no_are_categories():
    found = only(texture=np.array([3, 0], np.uint8), mirrored=np.array([True, False]))
    assert found["factor:texture"].dtype == found["factor:mirrored"].dtype == np.int64
    assert_array_equal(found["factor:texture"], [3, 0])
    assert_array_equal(found["factor:mirrored"], [1, 0])


def test_what_tells_where_an_image_comes_from_is_left_out_of_every_split():
    factors = {name: np.arange(2) for name in (*ORIGINS, "turn")}
    found = factor_targets({"train": factors, "test": factors})
    assert {split: list(targets) for split, targets in found.items()} == {
        "train": ["factor:turn"],
        "test": ["factor:turn"],
    }


def test_the_embedded_sets_record_by_these_names_what_they_were_taken_from(tmp_path):
    opened = [open_dataset(name, root=tmp_path) for name in ("mini/photos", "mini/digits")]
    assert {factor for dataset in opened for factor in dataset.split("test").factors} >= ORIGINS


def test_nothing_recorded_is_nothing_to_ask():
    assert factor_targets({"train": {}, "test": {}}) == {"train": {}, "test": {}}
