"""The random views of pretraining: what may be drawn, the draws, and one view at a time on the CPU.

Two roads lead from an image to a view, and both start from the same draws: ``augment_cpu`` here, for the
worker processes that decode files, and ``augment_batch`` in ``augment_device``, for batches that are decoded.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import ShapeError, UsageError

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
NEUTRAL = (1.0, 1.0, 1.0, 0.0)  # the factors that change nothing

Sides = int | NDArray[np.int64]

_ATTEMPTS = 10  # how often torchvision's RandomResizedCrop tries to fit a crop into the image
_UNIFORMS = 2 * _ATTEMPTS + 15  # random numbers that one view takes, whatever the settings


@dataclass(frozen=True)
class AugmentSettings:
    """From which distributions views are drawn; the defaults are the study's, and MoCo v2's [1].

    A view is a random resized crop, then jitter (its four steps in random order), grayscale, blur and flip.
    The blur's kernel follows sigma, not the image: it ends at three of the largest sigmas. At 64 pixels a
    sigma of 2 therefore hides far more of an object than at 224: narrow ``blur_sigma`` where it is too much.

    [1] Chen, Fan, Girshick, He, Improved baselines with momentum contrastive learning, arXiv 2003.04297.

    Attributes:
        size: pixels of a side of the view.
        scale: smallest and largest share of the image's area that a crop keeps.
        ratio: smallest and largest width by height of a crop; log-uniform between.
        jitter: brightness, contrast and saturation are scaled by 1 ± these; hue is shifted by ± the last
            one, in turns of the colour circle.
        jitter_prob, gray_prob, blur_prob, flip_prob: with which probability each happens to a view.
        blur_sigma: smallest and largest standard deviation of the blur, in pixels of the view.
    """

    size: int = 224
    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    jitter_prob: float = 0.8
    gray_prob: float = 0.2
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_prob: float = 0.5
    flip_prob: float = 0.5

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"A view of {self.size} pixels cannot be drawn: give a size of 1 or more.")
        _require_range("scale", self.scale, highest=1.0)
        _require_range("ratio", self.ratio)
        _require_range("blur_sigma", self.blur_sigma)
        _require_jitter(self.jitter)
        for name in ("jitter_prob", "gray_prob", "blur_prob", "flip_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} = {getattr(self, name)} is not a probability: give 0 to 1.")

    @property
    def never_changes(self) -> bool:
        """Whether every view is the image itself, resized."""
        probabilities = (self.flip_prob, self.gray_prob, self.blur_prob, self.jitter_prob if any(self.jitter) else 0)
        return self.scale == (1.0, 1.0) and not any(probabilities)

    @property
    def blur_radius(self) -> int:
        """Pixels on either side that the blur reads; inside the view, however small that is."""
        return min(math.ceil(3 * self.blur_sigma[1]), self.size - 1)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for keys and records."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def _require_range(name: str, limits: tuple[float, float], *, highest: float = math.inf) -> None:
    if len(limits) != 2 or not 0 < limits[0] <= limits[1] <= highest or math.isinf(limits[1]):
        most = "" if math.isinf(highest) else f", the larger at most {highest:g}"
        raise UsageError(f"{name} = {limits} is not a range: give two finite numbers above 0, the smaller first{most}.")


def _require_jitter(jitter: tuple[float, ...]) -> None:
    if len(jitter) != 4 or not all(0 <= strength <= 1 for strength in jitter) or jitter[HUE] > 0.5:
        raise UsageError(
            f"jitter = {','.join(f'{strength:g}' for strength in jitter)} is invalid. Give four numbers: "
            "brightness, contrast and saturation in 0 … 1, and hue in 0 … 0.5."
        )


STUDY = AugmentSettings()


@dataclass(frozen=True, eq=False)
class ViewDraws:
    """What was drawn for ``n`` views; what does not happen to a view stands here as a neutral value.

    Attributes:
        boxes: ``[n, 4]`` top, left, height and width of the crop in pixels, whole as they are drawn.
        factors: ``[n, 4]`` brightness, contrast, saturation, hue; ``NEUTRAL`` without jitter.
        orders: ``[n, 4]`` the four steps of the jitter in the order they are taken.
        gray: ``[n]`` whether all colour goes.
        sigmas: ``[n]`` standard deviation of the blur in pixels; 0 without blur.
        flipped: ``[n]`` whether left and right change places.
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
    settings: AugmentSettings, rng: np.random.Generator, *, n: int, height: Sides, width: Sides
) -> ViewDraws:
    """Independent draws for ``n`` views of images of ``height`` × ``width`` pixels.

    Every view takes the same number of random numbers, one row after another: the first ``k`` of ``n``
    views are the ``k`` views that an equal generator draws alone.

    Args:
        settings: what may be drawn.
        rng: gives the random numbers.
        n: how many views.
        height: of the images, one number or ``[n]``.
        width: likewise.
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
    """As torchvision's RandomResizedCrop: the first attempt that fits, else the largest central crop.

    From ``[n, 22]`` uniform numbers (ten areas, ten ratios, the two of the corner) to ``[n, 4]`` top, left,
    height, width, for images of ``heights`` × ``widths``, each ``[n]``.
    """
    whole = np.stack([heights, widths], axis=-1)  # [n, 2]
    area = whole.prod(axis=1, keepdims=True) * _between(settings.scale, uniforms[:, :_ATTEMPTS])
    low, high = settings.ratio
    ratio = np.exp(_between((math.log(low), math.log(high)), uniforms[:, _ATTEMPTS:-2]))
    sides = np.stack([np.rint(np.sqrt(area / ratio)), np.rint(np.sqrt(area * ratio))], axis=-1)
    fits = ((sides >= 1) & (sides <= whole[:, None])).all(axis=-1)  # [n, attempts]
    chosen = sides[np.arange(len(sides)), fits.argmax(axis=1)]  # [n, 2]
    corner = np.floor(uniforms[:, -2:] * (whole - chosen + 1))
    boxes = np.concatenate([corner, chosen], axis=1)
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
    """One random view of one image, with torchvision's operators.

    Args:
        image: ``[h, w, 3]`` RGB.
        settings: what may be drawn.
        rng: named by seed, epoch, sample and view, it makes the view independent of the worker.

    Returns: ``[3, size, size]``.
    Raises: ShapeError: if the image is not RGB bytes.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ShapeError(f"A view needs a uint8 image [h, w, 3], not {image.dtype} {list(image.shape)}.")
    height, width, _ = image.shape
    return render_view(image, draw_views(settings, rng, n=1, height=height, width=width), settings)


def render_view(image: NDArray[np.uint8], draws: ViewDraws, settings: AugmentSettings) -> NDArray[np.uint8]:
    """The view ``[3, size, size]`` of an image ``[h, w, 3]`` that the first of ``draws`` describes."""
    from torchvision.transforms.v2 import functional as transforms  # seconds to load; settings need none

    top, left, tall, wide = map(int, draws.boxes[0].tolist())
    crop = torch.tensor(image[top : top + tall, left : left + wide]).permute(2, 0, 1)
    view = transforms.resize(crop, [settings.size] * 2, antialias=True) / 255  # bytes are resized faster
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
