"""The random views of pretraining for a whole batch at once, on any device.

Crop, resize and flip together are one pair of small matrices a sample, and so is the blur: each is linear
and treats rows and columns apart. The colour steps touch only the samples that drew them.

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
    """One random view of every image, from the same distribution as ``augment_cpu``.

    The draws are made on the host: they are the same for every device, and nothing waits for the GPU. Crops
    are drawn in the pixels that the file has, and then found in the image that was squashed to one size:
    its aspect ratio changes nothing.

    Args:
        images: ``[b, 3, h, w]`` uint8 RGB, all squashed to one size.
        settings: what may be drawn.
        rng: named by seed, epoch, batch and view.
        sizes: ``[b, 2]`` height and width before the squashing; None if there was none.

    Returns: ``[b, 3, s, s]`` float32 in 0 … 1, where the images are.
    Raises: ShapeError: if the images are not RGB bytes.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise ShapeError(
            f"Views need uint8 images [b, 3, h, w], not {images.dtype} {list(images.shape)}. "
            "Scale and normalise after the views are drawn."
        )
    whole = np.array(images.shape[2:])
    sizes = np.broadcast_to(whole, (len(images), 2)) if sizes is None else sizes
    draws = draw_views(settings, rng, n=len(images), height=sizes[:, 0], width=sizes[:, 1])
    return render_views(images, replace(draws, boxes=_squashed(draws.boxes, whole / sizes, whole)), settings)


def _squashed(boxes: NDArray[Any], factors: NDArray[np.float64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Boxes ``[b, 4]`` where the image was scaled by ``factors`` ``[b, 2]`` to ``whole`` ``[2]`` pixels.

    Two pixels are the least that is left of a side: a crop without the middle of a pixel would be empty.
    """
    sides = np.maximum(boxes[:, 2:] * factors, np.minimum(2, whole))
    corners = np.minimum(boxes[:, :2] * factors, whole - sides)
    return np.concatenate([corners, sides], axis=1)


@torch.no_grad()
def render_views(images: Tensor, draws: ViewDraws, settings: AugmentSettings) -> Tensor:
    """The views ``[b, 3, s, s]`` in 0 … 1 that ``draws`` describe, of uint8 images ``[b, 3, h, w]``."""
    with torch.autocast(images.device.type, enabled=False):  # bf16 products would lose the low bits
        views = resized_crops(images, draws.boxes, draws.flipped, size=settings.size)
        for place in range(draws.orders.shape[1]):
            for step, adjust in _JITTER.items():
                factors = draws.factors[:, step]
                due = (draws.orders[:, place] == step) & (factors != NEUTRAL[step])
                _change_rows(views, due, adjust, factors)
        _change_rows(views, draws.gray, adjust_saturation, np.zeros(len(draws)))
        blur = partial(gaussian_blur, radius=settings.blur_radius)
        _change_rows(views, draws.sigmas > 0, blur, draws.sigmas)
        return views


def _change_rows(
    views: Tensor,
    due: NDArray[np.bool_],
    change: Callable[[Tensor, Tensor], Tensor],
    values: NDArray[np.float64],
) -> None:
    """Replace in place the views that are ``due`` by what ``change`` makes of them and their values."""
    if not due.any():
        return
    rows = torch.from_numpy(np.flatnonzero(due)).to(views.device)
    changed = change(views.index_select(0, rows), torch.from_numpy(values[due]).to(views))
    views.index_copy_(0, rows, changed)


def resized_crops(images: Tensor, boxes: NDArray[Any], flipped: NDArray[np.bool_], *, size: int) -> Tensor:
    """Crops resized with the antialiased triangle filter of Pillow, mirrored where asked.

    Args:
        images: ``[b, 3, h, w]`` uint8.
        boxes: ``[b, 4]`` top, left, height, width, in pixels or parts of them.
        flipped: ``[b]``.
        size: ``s``.

    Returns: ``[b, 3, s, s]`` float32 in 0 … 1.
    """
    b, _, h, w = images.shape
    top, left, tall, wide = torch.from_numpy(boxes).to(images.device, torch.float32).unbind(1)
    direction = 1 - 2 * torch.from_numpy(flipped).to(left)
    across = resize_weights(left, wide, direction, source=w, size=size) / 255  # [b, s, w]
    down = resize_weights(top, tall, torch.ones_like(top), source=h, size=size)  # [b, s, h]
    narrow = torch.bmm(images.reshape(b, 3 * h, w).to(across), across.mT).view(b, 3, h, size)
    return torch.matmul(down[:, None], narrow)


def resize_weights(start: Tensor, length: Tensor, direction: Tensor, *, source: int, size: int) -> Tensor:
    """How much of each source pixel goes into each resized one, along one side.

    Pixel ``i`` of the view looks at ``start + (i + ½) · length / size`` through a triangle that reaches, to
    either side, as far as the larger of a source and a view pixel; pixels outside the crop do not count.

    Args:
        start: ``[b]`` where the crop begins, in source pixels.
        length: ``[b]`` of the crop, in source pixels.
        direction: ``[b]`` 1, or -1 to read the crop from its far end.
        source: pixels of the image's side.
        size: ``s``.

    Returns: ``[b, s, source]``, rows sum to 1.
    """
    start, length, direction = start[:, None, None], length[:, None, None], direction[:, None, None]
    step = length / size
    pixel = torch.arange(source, device=start.device) + 0.5  # [source]
    place = torch.arange(size, device=start.device)[:, None] + (1 - size) / 2  # [s, 1], 0 is the middle
    centre = start + length / 2 + direction * step * place  # [b, s, 1]
    weights = (1 - (pixel - centre).abs_() / step.clamp(min=1)).clamp_(min=0)  # [b, s, source]
    weights *= (pixel > start) & (pixel < start + length)
    return weights / weights.sum(-1, keepdim=True)


def adjust_brightness(views: Tensor, factors: Tensor) -> Tensor:
    """Each view times its factor.

    Args:
        views: ``[b, 3, s, s]`` in 0 … 1; so for the steps below.
        factors: ``[b]``, 1 changes nothing.
    """
    return (views * factors[:, None, None, None]).clamp_(0, 1)


def adjust_contrast(views: Tensor, factors: Tensor) -> Tensor:
    """Each view moved away from (or towards) its mean grey by its factor ``[b]``; 1 changes nothing."""
    mean = _luma(views).mean(dim=(-2, -1))[:, None, None, None]  # [b, 1, 1, 1]
    return torch.lerp(mean, views, factors[:, None, None, None]).clamp_(0, 1)


def adjust_saturation(views: Tensor, factors: Tensor) -> Tensor:
    """Each pixel moved away from (or towards) its own grey by its view's factor ``[b]``; 0 is grayscale."""
    return torch.lerp(_luma(views)[:, None], views, factors[:, None, None, None]).clamp_(0, 1)


def _luma(views: Tensor) -> Tensor:
    """Perceived brightness ``[b, s, s]`` (ITU-R BT.601)."""
    red, green, blue = views.unbind(1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def adjust_hue(views: Tensor, shifts: Tensor) -> Tensor:
    """Each view with its hues turned.

    With value ``v``, chroma ``c`` and hue ``h`` in sixths of a turn, a channel of HSV's inverse is
    ``v - c · clamp(2 - |(k + h) mod 6 - 2|, 0, 1)``, where k = 5, 3, 1 for red, green, blue.

    Args:
        views: ``[b, 3, s, s]`` in 0 … 1.
        shifts: ``[b]`` in turns of the colour circle, -½ … ½; 0 changes nothing.
    """
    value, chroma, hue = _hue_in_sixths(views)
    hue += 6 * shifts[:, None, None]
    turned = torch.empty_like(views)
    for channel, k in enumerate((5, 3, 1)):
        sixth = hue + k
        sixth -= 6 * (sixth / 6).floor_()
        share = sixth.sub_(2).abs_().neg_().add_(2).clamp_(0, 1)
        torch.addcmul(value, chroma, share, value=-1, out=turned[:, channel])
    return turned


def _hue_in_sixths(views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, chroma and hue ``[b, s, s]``; the hue in -1 … 5, and 0 where there is no colour."""
    red, green, blue = views.unbind(1)
    value = views.amax(1)
    chroma = value - views.amin(1)
    scale = chroma.clamp(min=1e-9).reciprocal_()
    red_leads, green_leads = (value == red).to(value), (value == green).to(value)
    hue = (red - green) * scale + 4  # lerp by 0 or 1 selects, and on the CPU far faster than where does
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
    """Each view through a Gaussian of its own width, cut off at ``radius`` and mirrored at the edges.

    Args:
        views: ``[b, 3, s, s]``.
        sigmas: ``[b]`` in pixels, above 0.
        radius: in pixels, below ``s``.
    """
    weights = blur_weights(sigmas, radius=radius, size=views.shape[-1])
    b, _, s, _ = views.shape
    rows = torch.bmm(views.view(b, 3 * s, s), weights.mT).view_as(views)
    return torch.matmul(weights[:, None], rows)


def blur_weights(sigmas: Tensor, *, radius: int, size: int) -> Tensor:
    """How much of each pixel goes into each blurred one, along one side: ``[b, s, s]``, rows sum to 1."""
    offset = torch.arange(-radius, radius + 1, device=sigmas.device)
    taps = torch.softmax(-0.5 * (offset / sigmas[:, None]) ** 2, dim=1)  # [b, 2 radius + 1]
    seen = (torch.arange(size, device=sigmas.device)[:, None] + offset).abs()  # mirrored at the first pixel
    seen = size - 1 - (size - 1 - seen).abs()  # and at the last: [s, 2 radius + 1]
    places = functional.one_hot(seen, size).to(taps)  # [s, 2 radius + 1, s]
    return torch.einsum("bk,ikj->bij", taps, places)
