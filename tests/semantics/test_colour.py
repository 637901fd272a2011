"""Brightness and colour."""

import colorsys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.reference import semantics as reference
from tests.semantics.pictures import constant, gray, noise, turned
from transferkit.semantics.measure import measure

COLOURS = ["luminance", "rms_contrast", "colourfulness", "hue", "saturation", "colour_histogram"]


def angle_between(a, b):
    return abs(np.degrees(np.angle(complex(*a) / np.exp(1j * b))))


@pytest.mark.parametrize("side", [8, 13])
def test_they_are_what_plain_loops_give(side):
    square = noise(side, side) // 2 + np.array([90, 20, 0], np.uint8)[:, None, None]
    measured = measure(square, COLOURS)
    values = [value for row in reference.luma(square) for value in row]
    assert_allclose([*measured["luminance"], *measured["rms_contrast"]], reference.mean_and_spread(values), rtol=1e-5)
    assert_allclose(measured["colourfulness"], reference.colourfulness(square), rtol=1e-5)
    assert_allclose(measured["saturation"], reference.saturation(square), rtol=1e-5)
    assert_allclose(measured["colour_histogram"], reference.colour_histogram(square), atol=1e-6)
    assert angle_between(measured["hue"], reference.hue_angle(square)) < 1.5


@pytest.mark.parametrize("degrees", range(0, 360, 25))
@pytest.mark.parametrize("side", [8, 224])
def test_the_hue_of_a_coloured_patch(degrees, side):
    colour = [round(255 * v) for v in colorsys.hsv_to_rgb(degrees / 360, 0.6, 0.8)]
    square = constant(side, (90, 90, 90)).copy()
    square[:, 2:6, 1:7] = np.array(colour)[:, None, None]
    hue = measure(square, ["hue"])["hue"]
    assert_allclose(np.hypot(*hue), 1, rtol=1e-6)
    assert angle_between(hue, np.radians(degrees)) < 1.5


def test_red_green_and_blue_stand_a_third_of_the_circle_apart():
    hues = [measure(constant(8, colour), ["hue"])["hue"] for colour in np.eye(3, dtype=np.uint8) * 255]
    third = 2 * np.pi / 3
    assert_allclose(hues, [[np.cos(k * third), np.sin(k * third)] for k in range(3)], atol=1e-6)


def test_the_stronger_colour_prevails():
    square = constant(16, (200, 40, 40)).copy()
    square[:, :, :8] = np.array([90, 90, 100])[:, None, None]
    assert angle_between(measure(square, ["hue"])["hue"], 0) < 15


@pytest.mark.parametrize("square", [constant(32), gray(np.random.default_rng(0).random((64, 64)))])
def test_gray_has_no_colour(square):
    measured = measure(square, COLOURS)
    assert measured["hue"].tolist() == [0, 0]
    assert measured["saturation"] == measured["colourfulness"] == 0


def test_hues_that_cancel_give_none():
    square = constant(8, (255, 0, 0)).copy()
    square[:, :4] = np.array([0, 255, 255])[:, None, None]
    assert measure(square, ["hue"])["hue"].tolist() == [0, 0]


def test_a_constant_image():
    measured = measure(constant(224, (255, 0, 64)), COLOURS)
    assert_allclose(measured["luminance"], 0.2125 + 0.0721 * 64 / 255, rtol=1e-5)
    assert_allclose(measured["rms_contrast"], 0, atol=1e-6)
    assert measured["saturation"] == 1
    assert measured["colour_histogram"][16 * 3 + 4 * 0 + 1] == 1


@pytest.mark.parametrize(("colour", "luminance"), [((0, 0, 0), 0), ((255, 255, 255), 1)])
def test_black_and_white(colour, luminance):
    measured = measure(constant(9, colour), COLOURS)
    assert_allclose(measured["luminance"], luminance, atol=1e-6)
    assert measured["saturation"] == 0


@pytest.mark.parametrize("side", [16, 224])
def test_where_a_pixel_lies_is_of_no_account(side):
    square = noise(side)
    order = np.random.default_rng(1).permutation(side * side)
    shuffled = square.reshape(3, -1)[:, order].reshape(square.shape)
    before, after = measure(square, COLOURS), measure(shuffled, COLOURS)
    for name in COLOURS:
        assert_allclose(before[name], after[name], rtol=1e-4, atol=1e-4, err_msg=name)
    assert_allclose(before["colour_histogram"], after["colour_histogram"], rtol=0)


def test_half_the_contrast_is_half_the_spread():
    plane = np.random.default_rng(0).random((64, 64))
    whole, half = (measure(gray(0.5 + scale * (plane - 0.5)))["rms_contrast"] for scale in (1, 0.5))
    assert_allclose(half / whole, 0.5, rtol=0.01)


def test_two_halves_of_black_and_white_have_the_largest_contrast():
    plane = np.zeros((32, 32))
    plane[:16] = 1
    assert_allclose(measure(gray(plane))["rms_contrast"], 0.5, rtol=1e-5)


def test_a_turn_changes_no_colour():
    square = noise(24)
    for name, value in measure(turned(square), COLOURS).items():
        assert_allclose(value, measure(square, COLOURS)[name], rtol=1e-4, atol=1e-4)
