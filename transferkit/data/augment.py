"""Random augmentation for pretraining: settings, random draws, and single views on the CPU.

Two functions make views, both from the same random draws: ``augment_cpu`` in this module is for worker processes
that decode files, and ``augment_batch`` in ``augment_device`` is for batches of decoded images.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import ShapeError, UsageError
from ..core.settings import Fraction, PositiveInt, Settings

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
NEUTRAL = (1.0, 1.0, 1.0, 0.0)  # factors of the identity

ImageSide = int | NDArray[np.int64]

_ATTEMPTS = 10  # attempts of torchvision's RandomResizedCrop to fit a crop into the image
_UNIFORMS = 2 * _ATTEMPTS + 15  # random numbers per view, independent of the settings


@dataclass(frozen=True)
class AugmentSettings(Settings, command_line=False):
    """Distributions of the augmentations; the defaults are those of the study and of MoCo v2 [1].

    A view is a random resized crop, followed by jitter (four steps in random order), grayscale, blur and flip.
    The size of the blur kernel depends on sigma, not on the image: it ends at three times the largest sigma. At 64
    pixels a sigma of 2 therefore removes far more detail than at 224: reduce ``blur_sigma`` for small views.

    [1] Chen, Fan, Girshick, He, Improved baselines with momentum contrastive learning, arXiv 2003.04297.

    Attributes:
        size: Side of the view in pixels.
        scale: Minimum and maximum fraction of the image area in a crop.
        ratio: Minimum and maximum aspect ratio (width / height) of a crop; the ratio is log-uniform.
        jitter: Strengths for brightness, contrast and saturation, which are scaled by 1 ± the strength, and for
            hue, which is shifted by ± the strength in turns of the colour circle.
        jitter_prob, gray_prob, blur_prob, flip_prob: Probability of each augmentation.
        blur_sigma: Minimum and maximum standard deviation of the blur, in pixels of the view.
    """

    size: PositiveInt = 224
    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    jitter_prob: Fraction = 0.8
    gray_prob: Fraction = 0.2
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_prob: Fraction = 0.5
    flip_prob: Fraction = 0.5

    def check(self) -> None:
        """Check that ranges ascend, and that each jitter is within its own limits."""
        _require_range("scale", self.scale, highest=1.0)
        _require_range("ratio", self.ratio)
        _require_range("blur_sigma", self.blur_sigma)
        _require_jitter(self.jitter)

    @property
    def never_changes(self) -> bool:
        """True if every view is the resized image itself."""
        probabilities = (self.flip_prob, self.gray_prob, self.blur_prob, self.jitter_prob if any(self.jitter) else 0)
        return self.scale == (1.0, 1.0) and not any(probabilities)

    @property
    def blur_radius(self) -> int:
        """Radius of the blur kernel in pixels, smaller than the view."""
        return min(math.ceil(3 * self.blur_sigma[1]), self.size - 1)


def _require_range(name: str, limits: tuple[float, float], *, highest: float = math.inf) -> None:
    if len(limits) != 2 or not 0 < limits[0] <= limits[1] <= highest or math.isinf(limits[1]):
        most = "" if math.isinf(highest) else f", the larger at most {highest:g}"
        raise UsageError(f"{name} = {limits} is not a range. Give two finite numbers above 0, the smaller first{most}.")


def _require_jitter(jitter: tuple[float, ...]) -> None:
    if len(jitter) != 4 or not all(0 <= strength <= 1 for strength in jitter) or jitter[HUE] > 0.5:
        raise UsageError(
            f"jitter = {','.join(f'{strength:g}' for strength in jitter)} is invalid. Give four numbers: "
            "brightness, contrast and saturation in 0 … 1, and hue in 0 … 0.5."
        )


STUDY = AugmentSettings()


@dataclass(frozen=True, eq=False)
class ViewDraws:
    """Random draws of ``n`` views; an augmentation that is not applied has its neutral value.

    Attributes:
        boxes: Top, left, height and width of the crop in pixels ``[n, 4]``, drawn as whole numbers.
        factors: Brightness, contrast, saturation and hue ``[n, 4]``; ``NEUTRAL`` without jitter.
        orders: Order of the four jitter steps ``[n, 4]``.
        gray: Whether the view is converted to grayscale ``[n]``.
        sigmas: Standard deviation of the blur in pixels ``[n]``; 0 without blur.
        flipped: Whether the view is flipped horizontally ``[n]``.
    """

    boxes: NDArray[np.int64] | NDArray[np.float64]
    factors: NDArray[np.float64]
    orders: NDArray[np.int64]
    gray: NDArray[np.bool_]
    sigmas: NDArray[np.float64]
    flipped: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.boxes)


def draw_views(
    settings: AugmentSettings, rng: np.random.Generator, *, n: int, height: ImageSide, width: ImageSide
) -> ViewDraws:
    """Draw ``n`` independent views of images of ``height`` × ``width`` pixels.

    Every view uses the same number of random numbers, view by view: the first ``k`` of ``n`` views equal the ``k``
    views that an identical generator draws alone.

    Args:
        settings: Distributions of the augmentations.
        rng: Random generator.
        n: Number of views.
        height: Height of the images, one number or ``[n]``.
        width: Width of the images, one number or ``[n]``.
    """
    crops, chances, strengths, orders = np.split(rng.random((n, _UNIFORMS)), np.cumsum([22, 4, 5]), axis=1)
    jittered, gray, blurred, flipped = (
        chances < (settings.jitter_prob, settings.gray_prob, settings.blur_prob, settings.flip_prob)
    ).T
    factors = np.array(NEUTRAL) + np.array(settings.jitter) * (2 * strengths[:, :4] - 1)
    return ViewDraws(
        boxes=_crop_boxes(settings, crops, np.broadcast_to(height, n), np.broadcast_to(width, n)),
        factors=np.where(jittered[:, None], factors, NEUTRAL),
        orders=orders.argsort(axis=1),
        gray=gray,
        sigmas=np.where(blurred, _between(settings.blur_sigma, strengths[:, 4]), 0.0),
        flipped=flipped,
    )


def _crop_boxes(
    settings: AugmentSettings,
    uniforms: NDArray[np.float64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Choose crops as torchvision's RandomResizedCrop does: the first fitting attempt, else the largest central crop.

    Args:
        settings: Scale and ratio of the crops.
        uniforms: Uniform random numbers ``[n, 22]``: ten areas, ten ratios, and two for the corner.
        heights: Heights of the images ``[n]``.
        widths: Widths of the images ``[n]``.

    Returns: Top, left, height and width of each crop ``[n, 4]``.
    """
    image_sides = np.stack([heights, widths], axis=-1)  # [n, 2]
    area = image_sides.prod(axis=1, keepdims=True) * _between(settings.scale, uniforms[:, :_ATTEMPTS])  # [n, 10]
    low, high = settings.ratio
    ratio = np.exp(_between((math.log(low), math.log(high)), uniforms[:, _ATTEMPTS:-2]))  # log-uniform [n, 10]
    sides = np.stack([np.rint(np.sqrt(area / ratio)), np.rint(np.sqrt(area * ratio))], axis=-1)  # [n, 10, 2]
    fits = ((sides >= 1) & (sides <= image_sides[:, None])).all(axis=-1)  # [n, 10]
    chosen = sides[np.arange(len(sides)), fits.argmax(axis=1)]  # first fitting height and width [n, 2]
    corner = np.floor(uniforms[:, -2:] * (image_sides - chosen + 1))  # top and left [n, 2]
    boxes = np.concatenate([corner, chosen], axis=1)  # [n, 4]
    for row in np.flatnonzero(~fits.any(axis=-1)):
        boxes[row] = _central_box(settings.ratio, int(heights[row]), int(widths[row]))
    return boxes.astype(np.int64)


def _central_box(ratio: tuple[float, float], height: int, width: int) -> tuple[int, int, int, int]:
    tall = min(height, max(1, round(width / ratio[0])))
    wide = min(width, max(1, round(height * ratio[1])))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def _between(limits: tuple[float, float], uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
    return limits[0] + (limits[1] - limits[0]) * uniforms


def augment_cpu(image: NDArray[np.uint8], settings: AugmentSettings, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Make one random view of one image with torchvision's operators.

    Args:
        image: RGB image ``[h, w, 3]``.
        settings: Distributions of the augmentations.
        rng: Random generator; if it is derived from seed, epoch, sample and view, the view does not depend on the
            worker.

    Returns: The view ``[3, size, size]``.
    Raises: ShapeError: If the image is not 8-bit RGB.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ShapeError(f"A view needs a uint8 image [h, w, 3], not {image.dtype} {list(image.shape)}.")
    height, width, _ = image.shape
    return render_view(image, draw_views(settings, rng, n=1, height=height, width=width), settings)


def render_view(image: NDArray[np.uint8], draws: ViewDraws, settings: AugmentSettings) -> NDArray[np.uint8]:
    """Apply the first of ``draws`` to an image ``[h, w, 3]``; return the view ``[3, size, size]``."""
    from torchvision.transforms.v2 import functional as transforms  # imported here, because it takes seconds

    top, left, tall, wide = map(int, draws.boxes[0].tolist())
    crop = torch.tensor(image[top : top + tall, left : left + wide]).permute(2, 0, 1)
    view = transforms.resize(crop, [settings.size] * 2, antialias=True) / 255  # resizing bytes is faster
    for step in draws.orders[0].tolist():
        if (factor := float(draws.factors[0, step])) != NEUTRAL[step]:
            view = getattr(transforms, _JITTER[step])(view, factor)
    if draws.gray[0]:
        view = transforms.rgb_to_grayscale(view, num_output_channels=3)
    if sigma := float(draws.sigmas[0]):
        view = transforms.gaussian_blur(view, [2 * settings.blur_radius + 1] * 2, [sigma] * 2)
    if draws.flipped[0]:
        view = transforms.horizontal_flip(view)
    return (view * 255).round().clamp(0, 255).byte().contiguous().numpy()


_JITTER = {
    BRIGHTNESS: "adjust_brightness",
    CONTRAST: "adjust_contrast",
    SATURATION: "adjust_saturation",
    HUE: "adjust_hue",
}
