"""Similarity of reconstructions and originals: PSNR, SSIM and a perceptual distance.

Shapes: ``b`` images of side ``s``, values in 0 … 1.

[1] Wang et al., Image quality assessment: from error visibility to structural similarity, TIP 2004.
[2] Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional

from ..core.errors import ShapeError

CEILING = 100.0
"""Maximum PSNR in decibels, the value of equal images."""

WINDOW = 11
"""Pixels per side of the Gaussian window of [1], the minimum size of an image."""


def psnr(originals: Tensor, reconstructions: Tensor) -> NDArray[np.float64]:
    """Compute the peak signal-to-noise ratio ``-10 log₁₀ mse`` in decibels, ``[b]``; at most ``CEILING``.

    Args:
        originals: ``[b, 3, s, s]``.
        reconstructions: the same.

    Raises: ShapeError: if the shapes differ.
    """
    a, b = _pair(originals, reconstructions)
    error = np.square(a - b).mean(axis=(1, 2, 3))
    return -10 * np.log10(np.maximum(error, 10 ** (-CEILING / 10)))


def ssim(originals: Tensor, reconstructions: Tensor) -> NDArray[np.float64]:
    """Compute the structural similarity [1]: 1 for equal images; Gaussian window of σ = 1.5, mean over channels.

    Args:
        originals: ``[b, 3, s, s]``; ``s`` at least ``WINDOW``.
        reconstructions: the same.

    Returns: ``[b]`` in -1 … 1.
    Raises: ShapeError: if the shapes differ, or the images are smaller than the window.
    """
    a, b = _pair(originals, reconstructions)
    if min(a.shape[2:]) < WINDOW:
        raise ShapeError(f"SSIM needs images of {WINDOW}×{WINDOW} or more, not {a.shape[2]}×{a.shape[3]}.")
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    values = [structural_similarity(x, y, data_range=1.0, channel_axis=0, **options) for x, y in zip(a, b, strict=True)]
    return np.array(values, dtype=np.float64)


def perceptual_distances(
    maps_of: Callable[[Tensor], Sequence[Tensor]], originals: Tensor, reconstructions: Tensor
) -> NDArray[np.float64]:
    """Compute LPIPS [2] without learned weights: a perceptual distance from activations of a network.

    At each position of each map, the channels are normalised to unit length; the squared distance of the images is
    averaged over positions, then over maps. It is 0 for equal images, and at most 2 for nonnegative maps, as after
    ReLU, or 4 otherwise.

    Args:
        maps_of: from ``[b, 3, s, s]`` to maps ``[b, d, h, w]``, one per layer, of any size.
        originals: ``[b, 3, s, s]``.
        reconstructions: the same.

    Returns: ``[b]``.
    Raises: ShapeError: if the shapes differ, or there is no map.
    """
    _pair(originals, reconstructions)
    with torch.no_grad():
        pairs = list(zip(maps_of(originals), maps_of(reconstructions), strict=True))
        if not pairs:
            raise ShapeError("A perceptual distance of no map is undefined: give one layer or more.")
        layers = [(_unit(a) - _unit(b)).square().sum(1).mean((1, 2)) for a, b in pairs]  # [b] per layer
        return torch.stack(layers).mean(0).double().cpu().numpy()


def _unit(maps: Tensor) -> Tensor:
    return functional.normalize(maps.float(), dim=1, eps=1e-10)


def _pair(originals: Tensor, reconstructions: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if originals.shape != reconstructions.shape or originals.ndim != 4:
        raise ShapeError(
            f"Images are compared pair by pair: two of the same [b, 3, s, s], not {list(originals.shape)} "
            f"and {list(reconstructions.shape)}."
        )
    first, second = (images.detach().double().cpu().numpy() for images in (originals, reconstructions))
    return first, second
