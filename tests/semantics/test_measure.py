"""Chosen targets of one image and of a batch."""

import numpy as np
import pytest

from tests.semantics.pictures import discs, noise
from transferkit.core.errors import ShapeError, UnknownNameError
from transferkit.semantics.measure import measure, measure_batch
from transferkit.semantics.target import TARGETS


def test_all_targets_come_unless_some_are_chosen():
    assert list(measure(noise(16))) == list(TARGETS)
    assert list(measure(noise(16), ["hue", "lbp"])) == ["hue", "lbp"]
    assert measure(noise(16), []) == {}


def test_a_target_alone_is_what_it_is_among_all():
    square, _ = discs(64, (0.4, 0.5, 0.2))
    together = measure(square)
    for name in TARGETS:
        assert np.array_equal(measure(square, [name])[name], together[name]), name


def test_a_batch_is_its_images():
    squares = np.stack([noise(32), discs(32, (0.5, 0.5, 0.3))[0], np.zeros((3, 32, 32), np.uint8)])
    batch = measure_batch(squares)
    for row, square in enumerate(squares):
        for name, value in measure(square).items():
            assert np.array_equal(batch[name][row], value), name


def test_an_image_is_left_as_it_was():
    square = noise(100)
    before = square.copy()
    measure(square)
    assert np.array_equal(square, before)


def test_an_empty_batch_has_the_shapes():
    batch = measure_batch(np.empty((0, 3, 64, 64), np.uint8), ["hue", "luminance"])
    assert {name: (v.shape, v.dtype) for name, v in batch.items()} == {
        "hue": ((0, 2), np.float32),
        "luminance": ((0, 1), np.float32),
    }


def test_one_image_is_no_batch():
    with pytest.raises(ShapeError, match=r"^A batch of scenes is \[b, 3, s, s\], not \[3, 8, 8\]: stack"):
        measure_batch(noise(8))


@pytest.mark.parametrize(("squares", "call"), [(noise(8), measure), (noise(8)[None], measure_batch)])
def test_an_unknown_target_is_answered_with_the_nearest(squares, call):
    with pytest.raises(UnknownNameError, match=r"^No semantic target named 'luminanse'\. Did you mean 'lumin"):
        call(squares, ["luminanse"])
