"""Low level: power at coarse and fine scales."""

import numpy as np
from numpy.typing import NDArray

from .scene import Scene
from .target import target

ROUNDING = 1 / 255**2 / 12
"""Variance of rounding to bytes, the noise floor of any image."""

BANDS = 5


@target(
    "low",
    meaning="slope of log power over log frequency, from 2 cycles per image to the finest; about −2 for "
    "photographs, 0 for noise and for a constant image",
    source="Field, Relations between the statistics of natural images and …, JOSA A 1987",
)
def frequency_slope(scene: Scene) -> float:
    """Fit the decrease of power with frequency by least squares over the rings of the spectrum."""
    mean, _ = scene.power
    x = np.log(np.arange(2, len(mean)))
    y = np.log(mean[2:] + ROUNDING / scene.gray.size)
    x = x - x.mean()
    return float(x @ y / (x @ x))


@target(
    "low",
    k=BANDS,
    meaning="log10 of the variance in the octaves that begin at 2, 4, 8, 16 and 32 cycles per image; −5.9 "
    "where there is none, or the image is too small to show it",
    source="octave bands of the power spectrum under a Hann window",
)
def band_energies(scene: Scene) -> NDArray[np.float64]:
    """Compute the variance of each octave."""
    _, total = scene.power
    bands = [total[2 << k : 4 << k].sum() for k in range(BANDS)]
    return np.log10(np.array(bands) + ROUNDING)


@target(
    "low",
    meaning="log10 of the variance of the Laplacian of the luma; −4.6 for a constant image",
    source="Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000",
)
def sharpness(scene: Scene) -> float:
    """Compute the variance of the Laplacian at the size of the encoder's input."""
    g = scene.gray
    laplacian = g[:-2, 1:-1] + g[2:, 1:-1] + g[1:-1, :-2] + g[1:-1, 2:] - 4 * g[1:-1, 1:-1]
    return float(np.log10(laplacian.var() + 20 * ROUNDING))
