"""Random augmentation for pretraining on a whole batch at once, on any device.

Crop, resize and flip together are one pair of small matrices per sample, and so is the blur: both operations are
linear and separable in rows and columns. The colour steps are computed only for the samples that drew them.

Shapes: ``b`` images of ``h`` × ``w`` pixels, or views of ``s`` × ``s``.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..core.errors import ShapeError
from .augment import BRIGHTNESS, CONTRAST, HUE, NEUTRAL, SATURATION, AugmentSettings, ViewDraws, draw_views


def augment_batch(
    images: Tensor,
    settings: AugmentSettings,
    rng: np.random.Generator,
    *,
    sizes: NDArray[np.int64] | None = None,
) -> Tensor:
    """Make one random view of every image, from the same distribution as ``augment_cpu``.

    Random numbers are drawn on the host: they are the same for every device, and the host does not wait for the GPU.
    Crops are drawn in the pixels of the file and then mapped to the squashed image, so that the squashed aspect
    ratio has no effect.

    Args:
        images: RGB images, uint8 ``[b, 3, h, w]``, all squashed to one size.
        settings: Distributions of the augmentations.
        rng: Random generator, derived from seed, epoch, batch and view.
        sizes: Height and width before squashing ``[b, 2]``; None if the images were not squashed.

    Returns: Views, float32 ``[b, 3, s, s]`` in 0 … 1, on the device of the images.
    Raises: ShapeError: If the images are not 8-bit RGB.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise ShapeError(
            f"Views need uint8 images [b, 3, h, w], not {images.dtype} {list(images.shape)}. "
            "Scale and normalize after augmentation."
        )
    size = np.array(images.shape[2:])
    sizes = np.broadcast_to(size, (len(images), 2)) if sizes is None else sizes
    draws = draw_views(settings, rng, n=len(images), height=sizes[:, 0], width=sizes[:, 1])
    return render_views(images, replace(draws, boxes=_scaled_boxes(draws.boxes, size / sizes, size)), settings)


def _scaled_boxes(boxes: NDArray[Any], factors: NDArray[np.float64], size: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scale boxes ``[b, 4]`` to images that were squashed by ``factors`` ``[b, 2]`` to ``size`` ``[2]`` pixels.

    The minimum side is two pixels: a crop that contains no pixel centre would be empty.
    """
    sides = np.maximum(boxes[:, 2:] * factors, np.minimum(2, size))
    corners = np.minimum(boxes[:, :2] * factors, size - sides)
    return np.concatenate([corners, sides], axis=1)


@torch.no_grad()
def render_views(images: Tensor, draws: ViewDraws, settings: AugmentSettings) -> Tensor:
    """Apply ``draws`` to uint8 images ``[b, 3, h, w]``; return views ``[b, 3, s, s]`` in 0 … 1."""
    with torch.autocast(images.device.type, enabled=False):  # bf16 would lose the low bits
        views = resized_crops(images, draws.boxes, draws.flipped, size=settings.size)
        for position in range(draws.orders.shape[1]):
            for step, adjust in _JITTER.items():
                factors = draws.factors[:, step]
                mask = (draws.orders[:, position] == step) & (factors != NEUTRAL[step])
                _change_rows(views, mask, adjust, factors)
        _change_rows(views, draws.gray, adjust_saturation, np.zeros(len(draws)))
        blur = partial(gaussian_blur, radius=settings.blur_radius)
        _change_rows(views, draws.sigmas > 0, blur, draws.sigmas)
        return views


def _change_rows(
    views: Tensor,
    mask: NDArray[np.bool_],
    change: Callable[[Tensor, Tensor], Tensor],
    values: NDArray[np.float64],
) -> None:
    """Replace the views in ``mask`` in place by ``change`` of these views and their values."""
    if not mask.any():
        return
    rows = torch.from_numpy(np.flatnonzero(mask)).to(views.device)
    changed = change(views.index_select(0, rows), torch.from_numpy(values[mask]).to(views))
    views.index_copy_(0, rows, changed)


def resized_crops(images: Tensor, boxes: NDArray[Any], flipped: NDArray[np.bool_], *, size: int) -> Tensor:
    """Crop and resize with the antialiased triangle filter of Pillow, and flip horizontally where requested.

    Args:
        images: Images, uint8 ``[b, 3, h, w]``.
        boxes: Top, left, height and width in pixels, possibly fractional ``[b, 4]``.
        flipped: Whether each view is flipped ``[b]``.
        size: Side ``s`` of the views.

    Returns: Views, float32 ``[b, 3, s, s]`` in 0 … 1.
    """
    b, _, h, w = images.shape
    top, left, tall, wide = torch.from_numpy(boxes).to(images.device, torch.float32).unbind(1)
    direction = 1 - 2 * torch.from_numpy(flipped).to(left)
    across = resize_weights(left, wide, direction, source=w, size=size) / 255  # [b, s, w]
    down = resize_weights(top, tall, torch.ones_like(top), source=h, size=size)  # [b, s, h]
    narrow = torch.bmm(images.reshape(b, 3 * h, w).to(across), across.mT).view(b, 3, h, size)  # rows resized
    return torch.matmul(down[:, None], narrow)  # columns resized [b, 3, s, s]


def resize_weights(start: Tensor, length: Tensor, direction: Tensor, *, source: int, size: int) -> Tensor:
    """Compute the weight of each source pixel in each resized pixel along one axis.

    Pixel ``i`` of the view is a triangle-weighted average around ``start + (i + ½) · length / size``. The half width
    of the triangle is the larger of a source pixel and a view pixel; pixels outside the crop have weight 0.

    Args:
        start: Start of the crop in source pixels ``[b]``.
        length: Length of the crop in source pixels ``[b]``.
        direction: 1, or -1 to reverse the crop ``[b]``.
        source: Length of the image side in pixels.
        size: Side ``s`` of the views.

    Returns: Weights ``[b, s, source]`` whose rows sum to 1.
    """
    start, length, direction = start[:, None, None], length[:, None, None], direction[:, None, None]
    step = length / size  # source pixels per view pixel [b, 1, 1]
    pixel = torch.arange(source, device=start.device) + 0.5  # source pixel centres [source]
    offset = torch.arange(size, device=start.device)[:, None] + (1 - size) / 2  # view pixels from the middle [s, 1]
    centre = start + length / 2 + direction * step * offset  # centres in source pixels [b, s, 1]
    weights = (1 - (pixel - centre).abs_() / step.clamp(min=1)).clamp_(min=0)  # triangle [b, s, source]
    weights *= (pixel > start) & (pixel < start + length)  # 0 outside the crop
    return weights / weights.sum(-1, keepdim=True)


def adjust_brightness(views: Tensor, factors: Tensor) -> Tensor:
    """Multiply each view by its factor.

    Args:
        views: Views ``[b, 3, s, s]`` in 0 … 1, as in the steps below.
        factors: Factors ``[b]``; 1 is the identity.
    """
    return (views * factors[:, None, None, None]).clamp_(0, 1)


def adjust_contrast(views: Tensor, factors: Tensor) -> Tensor:
    """Interpolate between the mean grey of each view and the view, by factors ``[b]``; 1 is the identity."""
    mean = _luma(views).mean(dim=(-2, -1))[:, None, None, None]  # [b, 1, 1, 1]
    return torch.lerp(mean, views, factors[:, None, None, None]).clamp_(0, 1)


def adjust_saturation(views: Tensor, factors: Tensor) -> Tensor:
    """Interpolate between the grey of each pixel and the pixel, by factors ``[b]``; 0 is grayscale."""
    return torch.lerp(_luma(views)[:, None], views, factors[:, None, None, None]).clamp_(0, 1)


def _luma(views: Tensor) -> Tensor:
    """Compute the luma ``[b, s, s]`` (ITU-R BT.601)."""
    red, green, blue = views.unbind(1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def adjust_hue(views: Tensor, shifts: Tensor) -> Tensor:
    """Shift the hue of each view.

    With value ``v``, chroma ``c`` and hue ``h`` in sixths of a turn, a channel of HSV's inverse is
    ``v - c · clamp(2 - |(k + h) mod 6 - 2|, 0, 1)``, where k = 5, 3, 1 for red, green, blue.

    Args:
        views: Views ``[b, 3, s, s]`` in 0 … 1.
        shifts: Shifts ``[b]`` in turns of the colour circle, -½ … ½; 0 is the identity.
    """
    value, chroma, hue = _hue_in_sixths(views)
    hue += 6 * shifts[:, None, None]
    shifted = torch.empty_like(views)
    for channel, k in enumerate((5, 3, 1)):
        sixth = hue + k
        sixth -= 6 * (sixth / 6).floor_()  # (k + h) mod 6
        ramp = sixth.sub_(2).abs_().neg_().add_(2).clamp_(0, 1)  # clamp(2 - |(k + h) mod 6 - 2|, 0, 1)
        torch.addcmul(value, chroma, ramp, value=-1, out=shifted[:, channel])  # v - c · ramp
    return shifted


def _hue_in_sixths(views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return value, chroma and hue ``[b, s, s]``; the hue is in -1 … 5, and 0 for grey pixels."""
    red, green, blue = views.unbind(1)
    value = views.amax(1)
    chroma = value - views.amin(1)
    scale = chroma.clamp(min=1e-9).reciprocal_()
    red_leads, green_leads = (value == red).to(value), (value == green).to(value)
    hue = (red - green) * scale + 4  # lerp by 0 or 1 selects, and is far faster on the CPU than where
    hue = torch.lerp(hue, (blue - red) * scale + 2, green_leads)
    hue = torch.lerp(hue, (green - blue) * scale, red_leads)
    return value, chroma, hue


_JITTER = {
    BRIGHTNESS: adjust_brightness,
    CONTRAST: adjust_contrast,
    SATURATION: adjust_saturation,
    HUE: adjust_hue,
}


def gaussian_blur(views: Tensor, sigmas: Tensor, *, radius: int) -> Tensor:
    """Blur each view with a Gaussian of its own width, truncated at ``radius`` and mirrored at the edges.

    Args:
        views: Views ``[b, 3, s, s]``.
        sigmas: Standard deviations in pixels ``[b]``, above 0.
        radius: Radius of the kernel in pixels, less than ``s``.
    """
    weights = blur_weights(sigmas, radius=radius, size=views.shape[-1])
    b, _, s, _ = views.shape
    rows = torch.bmm(views.view(b, 3 * s, s), weights.mT).view_as(views)  # rows blurred
    return torch.matmul(weights[:, None], rows)  # columns blurred


def blur_weights(sigmas: Tensor, *, radius: int, size: int) -> Tensor:
    """Compute the weight of each pixel in each blurred pixel along one axis: ``[b, s, s]``, whose rows sum to 1."""
    offset = torch.arange(-radius, radius + 1, device=sigmas.device)
    kernel = torch.softmax(-0.5 * (offset / sigmas[:, None]) ** 2, dim=1)  # [b, 2 radius + 1]
    source = (torch.arange(size, device=sigmas.device)[:, None] + offset).abs()  # mirrored at the first pixel
    source = size - 1 - (size - 1 - source).abs()  # and at the last [s, 2 radius + 1]
    selection = functional.one_hot(source, size).to(kernel)  # [s, 2 radius + 1, s]
    return torch.einsum("bk,ikj->bij", kernel, selection)
