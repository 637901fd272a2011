"""An image and the intermediate results that targets share, each computed at most once."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from skimage import feature

from ..core.errors import ShapeError
from .saliency import salient_regions

DEFINITION = 1  # version of this file and saliency.py, which must change whenever a number changes

SMALLEST_SIDE = 8
LARGEST_REDUCED_SIDE = 96
ORIENTATIONS = 8
LUMA = np.array([0.2125, 0.7154, 0.0721], np.float32)  # ITU-R BT.709, as in skimage.color.rgb2gray

EDGE_LOW, EDGE_HIGH = 0.3, 0.6
"""Canny's thresholds on a Sobel gradient that is 3.2 at a unit step blurred by one pixel: steps above 0.19
start an edge, steps above 0.09 continue it."""

Plane = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Scene:
    """The square image that an encoder receives, and intermediate results that targets share.

    Colours, spectrum and sharpness are measured at the size of the encoder's input. Edges, textures and regions are
    measured at no more than 96 pixels per side, after area interpolation: this limits their cost and makes pixel
    sizes comparable in large images.

    Attributes:
        square: ``[3, s, s]`` uint8 RGB, ``s`` is 8 or more.

    Raises: ShapeError: if ``square`` is anything else.
    """

    square: NDArray[np.uint8]

    def __post_init__(self) -> None:
        shape, kind = self.square.shape, self.square.dtype
        if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2] or kind != np.uint8:
            raise ShapeError(f"A scene is uint8 [3, s, s], not {kind} {list(shape)}: resize and crop first.")
        if shape[1] < SMALLEST_SIDE:
            raise ShapeError(f"A scene of {shape[1]} pixels per side is too small: give {SMALLEST_SIDE} or more.")

    @cached_property
    def gray(self) -> Plane:
        """Luma ``[s, s]`` in 0 … 1, computed from the stored (gamma-coded) values."""
        return luma(self.square) / np.float32(255)

    @cached_property
    def colours(self) -> Plane:
        """Reduced image ``[3, w, w]`` in 0 … 1, ``w`` at most 96."""
        side = self.square.shape[1]
        if side <= LARGEST_REDUCED_SIDE:
            return np.asarray(self.square.astype(np.float32) / np.float32(255))
        weights = area_weights(side, LARGEST_REDUCED_SIDE)
        return np.asarray(weights @ self.square.astype(np.float32) @ weights.T / 255, np.float32)

    @cached_property
    def reduced(self) -> Plane:
        """Luma of the reduced image, ``[w, w]`` in 0 … 1."""
        return luma(self.colours)

    @cached_property
    def levels(self) -> NDArray[np.uint8]:
        """Luma of the reduced image in 256 levels, ``[w, w]``."""
        return bytes_of(self.reduced)

    @cached_property
    def gradient(self) -> tuple[Plane, Plane]:
        """Scharr's differences of the reduced luma to the right and downwards, per pixel.

        Each ``[w-2, w-2]``: pixels at the border have no gradient.
        """
        g = self.reduced
        right, down = (g[:, 2:] - g[:, :-2]) / 2, (g[2:] - g[:-2]) / 2
        across = (3 * right[:-2] + 10 * right[1:-1] + 3 * right[2:]) / 16
        along = (3 * down[:, :-2] + 10 * down[:, 1:-1] + 3 * down[:, 2:]) / 16
        return across.astype(np.float32, copy=False), along.astype(np.float32, copy=False)

    @cached_property
    def products(self) -> Plane:
        """The structure tensor before smoothing: xx, xy and yy of the gradient, ``[3, w-2, w-2]``."""
        x, y = self.gradient
        return np.stack([x * x, x * y, y * y])

    @cached_property
    def orientations(self) -> NDArray[np.float32]:
        """Sum of the gradient's magnitude by quarter, in reading order, and orientation of the edge, ``[4, 8]``.

        The first orientation is centred on the horizontal, each is 22.5° wide; counter-clockwise.
        """
        x, y = self.gradient
        half_turns = np.arctan2(x, y) / np.float32(np.pi)  # of the edge, a quarter from the gradient; y is down
        bins = np.rint(half_turns * ORIENTATIONS).astype(np.int64) % ORIENTATIONS
        bins += ORIENTATIONS * _quarters(len(x))
        totals = np.bincount(bins.ravel(), np.sqrt(x * x + y * y).ravel(), minlength=4 * ORIENTATIONS)
        return totals.reshape(4, ORIENTATIONS).astype(np.float32)

    @cached_property
    def edges(self) -> NDArray[np.bool_]:
        """Canny's edges of the reduced luma, blurred by one pixel, ``[w, w]``."""
        return np.asarray(feature.canny(self.reduced, sigma=1.0, low_threshold=EDGE_LOW, high_threshold=EDGE_HIGH))

    @cached_property
    def power(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Radial power spectrum of the luma under a Hann window.

        Entry ``f`` is for frequencies of ``f`` cycles per image, rounded, ``f`` in ``0 … s//2``.

        Returns: the mean and the sum of the power of the coefficients, ``[s//2 + 1]`` each. The sum over all
        coefficients is the variance of the windowed image.
        """
        side = self.gray.shape[0]
        window, radius, weight, count = _radial(side)
        spectrum = fft.rfft2((self.gray - _weighted_mean(self.gray, window)) * window)
        density = weight * (spectrum.real**2 + spectrum.imag**2) / side**4 / np.mean(window**2)
        totals = np.bincount(radius.ravel(), density.ravel(), minlength=len(count))
        total = totals[: side // 2 + 1].astype(np.float64)
        return total / count[: side // 2 + 1], total

    @cached_property
    def salient(self) -> tuple[NDArray[np.bool_], int]:
        """Salient pixels of the reduced image, ``[w, w]``, and the number of their regions."""
        return salient_regions(self.colours)


def luma(planes: NDArray) -> Plane:
    """Compute the luma ``[s, s]`` of ``[3, s, s]``, in the same unit."""
    red, green, blue = planes.astype(np.float32, copy=False)
    return np.asarray(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)


def bytes_of(values: Plane) -> NDArray[np.uint8]:
    """Convert values in 0 … 1 to 0 … 255, rounded."""
    return np.floor(values * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def smoothed(planes: Plane, sigma: float) -> Plane:
    """Smooth ``[…, h, w]`` with a Gaussian of ``sigma`` pixels, mirrored at the border."""
    return np.asarray(ndimage.gaussian_filter(planes, sigma, mode="reflect", truncate=3.0, axes=(-2, -1)))


@cache
def area_weights(side: int, reduced: int) -> Plane:
    """Return the fraction ``[reduced, side]`` of each new pixel that each old pixel covers; rows sum to 1."""
    bounds = np.arange(reduced + 1) * (side / reduced)
    starts = np.arange(side)
    overlap = np.minimum(bounds[1:, None], starts + 1) - np.maximum(bounds[:-1, None], starts)
    return np.asarray(overlap.clip(min=0) * (reduced / side), dtype=np.float32)


@cache
def _quarters(side: int) -> NDArray[np.int64]:
    """Return the quarter 0 … 3 of each pixel, ``[side, side]``; a middle row belongs to the lower half."""
    half = np.arange(side) >= side // 2
    return 2 * half[:, None] + half[None, :].astype(np.int64)


def _weighted_mean(plane: Plane, weights: Plane) -> np.float32:
    return np.float32(np.vdot(plane, weights) / weights.sum())


@cache
def _radial(side: int) -> tuple[Plane, NDArray[np.int64], Plane, NDArray[np.float64]]:
    """Return the constants of the radial spectrum of all images of ``side`` pixels per side.

    Returns: the window ``[s, s]``; the rounded radius and the multiplicity in the full spectrum of the coefficients
    of ``rfft2``, ``[s, s//2 + 1]`` each; and the number of coefficients at each radius.
    """
    hann = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    window = np.outer(hann, hann).astype(np.float32)
    x = np.arange(side // 2 + 1)
    y = np.minimum(np.arange(side), side - np.arange(side))
    radius = np.floor(np.hypot(y[:, None], x) + 0.5).astype(np.int64)
    weight = np.where((x == 0) | (2 * x == side), 1.0, 2.0).astype(np.float32)
    weight = np.broadcast_to(weight, radius.shape)
    return window, radius, weight, np.bincount(radius.ravel(), weight.ravel()).astype(np.float64)
