"""Targets that measure the energy of coarse and of fine structure."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage

from tests.reference import semantics as reference
from tests.semantics.pictures import constant, grating, gray, noise, power_law, turned
from transferkit.semantics.measure import measure
from transferkit.semantics.scene import Scene
from transferkit.semantics.spectrum import ROUNDING

SPECTRUM = ["frequency_slope", "band_energies", "sharpness"]


@pytest.mark.parametrize("side", [8, 11, 16])
def test_they_are_what_plain_loops_give(side):
    square = noise(side, side)
    measured = measure(square, SPECTRUM)
    assert_allclose(measured["frequency_slope"], reference.frequency_slope(square), rtol=1e-4)
    assert_allclose(measured["sharpness"], reference.sharpness(square), rtol=1e-5)
    sums, _ = reference.rings(square)
    bands = [sums[low : 2 * low].sum() for low in (2, 4, 8, 16, 32)]
    assert_allclose(measured["band_energies"], np.log10(np.array(bands) + 1 / 255**2 / 12), rtol=1e-4)


@pytest.mark.parametrize("side", [32, 33])
def test_all_power_is_the_variance_of_the_windowed_image(side):
    scene = Scene(noise(side))
    hann = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    window = np.outer(hann, hann)
    plane = scene.gray - (scene.gray * window).sum() / window.sum()
    inside = np.hypot(*np.meshgrid(np.fft.fftfreq(side, 1 / side), np.fft.fftfreq(side, 1 / side)))
    power = np.abs(np.fft.fft2(plane * window)) ** 2 / side**2
    assert_allclose(power.sum(), ((plane * window) ** 2).sum(), rtol=1e-5)  # Parseval, for the test itself
    kept = power[np.floor(inside + 0.5) <= side // 2].sum() / (window**2).sum()
    assert_allclose(scene.power[1].sum(), kept, rtol=1e-4)


@pytest.mark.parametrize("degrees", [0, 30, 90, 145])
@pytest.mark.parametrize(("cycles", "band"), [(6, 1), (12, 2), (24, 3), (44, 4)])
def test_a_grating_lies_in_its_band(cycles, band, degrees):
    energies = measure(grating(128, cycles, degrees))["band_energies"]
    assert energies.argmax() == band
    assert_allclose(energies[band], np.log10(0.4**2 / 2), atol=0.05)  # the variance of a sine
    far = [k for k in range(5) if abs(k - band) > 1]
    assert (energies[far] < energies[band] - 2).all()


def test_the_lowest_band_shares_with_what_the_window_blurs():
    energies = measure(grating(128, 3, 30))["band_energies"]
    assert energies.argmax() == 0
    assert_allclose(energies[0], np.log10(0.4**2 / 2), atol=0.25)


@pytest.mark.parametrize("slope", [0.0, -1.0, -2.0, -3.0])
def test_the_slope_of_noise_with_a_known_slope(slope):
    found = [measure(power_law(128, slope, seed))["frequency_slope"] for seed in range(3)]
    assert_allclose(np.mean(found), slope, atol=0.15)


def test_a_blurred_copy_is_less_sharp_and_falls_more_steeply():
    square = noise(96)
    blurred = ndimage.gaussian_filter(square, (0, 1.0, 1.0))
    before, after = measure(square, SPECTRUM), measure(blurred, SPECTRUM)
    assert after["sharpness"] < before["sharpness"] - 1
    assert after["frequency_slope"] < before["frequency_slope"] - 1


def test_half_the_contrast_is_a_quarter_of_the_power():
    whole, half = (measure(grating(64, 6, 20, contrast), SPECTRUM) for contrast in (0.4, 0.2))
    assert_allclose(half["band_energies"][1] - whole["band_energies"][1], -np.log10(4), atol=0.01)
    assert_allclose(half["sharpness"] - whole["sharpness"], -np.log10(4), atol=0.02)


@pytest.mark.parametrize("side", [8, 64, 224])
def test_a_constant_image_has_what_rounding_leaves(side):
    measured = measure(constant(side), SPECTRUM)
    assert_allclose(measured["frequency_slope"], 0, atol=1e-3)
    assert_allclose(measured["band_energies"], np.log10(ROUNDING), atol=1e-4)
    assert_allclose(measured["sharpness"], np.log10(20 * ROUNDING), atol=1e-4)


def test_bands_that_a_small_image_cannot_show_are_empty():
    energies = measure(noise(16), SPECTRUM)["band_energies"]
    assert (energies[:2] > -3).all()
    assert_allclose(energies[3:], np.log10(ROUNDING), atol=1e-4)


def test_a_turn_and_brightness_are_of_no_account():
    square = gray(0.3 + 0.3 * np.random.default_rng(0).random((48, 48)))
    for other in (turned(square), square + np.uint8(40), square[:, :, ::-1]):
        for name, value in measure(other, SPECTRUM).items():
            assert_allclose(value, measure(square, SPECTRUM)[name], atol=1e-3)
