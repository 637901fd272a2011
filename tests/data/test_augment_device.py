"""Views of a whole batch against torchvision, step by step and as a whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.testing import assert_close
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from transferkit.core.errors import ShapeError
from transferkit.core.seeding import generator
from transferkit.data.augment import NEUTRAL, STUDY, AugmentSettings, draw_views, render_view
from transferkit.data.augment_device import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    augment_batch,
    blur_weights,
    gaussian_blur,
    render_views,
    resize_weights,
    resized_crops,
)

SMALL = replace(STUDY, size=32)
OFF = AugmentSettings(
    size=32, scale=(1, 1), ratio=(1.25, 1.25), jitter=(0, 0, 0, 0), gray_prob=0, blur_prob=0, flip_prob=0
)
ADJUST = {
    "brightness": (adjust_brightness, functional.adjust_brightness, (0.0, 0.6, 1.0, 1.4, 2.0)),
    "contrast": (adjust_contrast, functional.adjust_contrast, (0.0, 0.6, 1.0, 1.4, 2.0)),
    "saturation": (adjust_saturation, functional.adjust_saturation, (0.0, 0.6, 1.0, 1.4, 2.0)),
    "hue": (adjust_hue, functional.adjust_hue, (-0.5, -0.1, 0.0, 0.07, 0.5)),
}


def picture(seed, height, width):
    """Coloured blobs with some noise: smooth, and of every colour. uint8 ``[3, h, w]``."""
    rng = np.random.default_rng(seed)
    blobs = gaussian_filter(rng.normal(size=(3, height, width)), (0, 5, 5))
    blobs = 128 + 80 * blobs / blobs.std() + rng.normal(scale=6, size=blobs.shape)
    return torch.from_numpy(blobs.clip(0, 255).astype(np.uint8))


@pytest.fixture
def images():
    return torch.stack([picture(seed, 48, 60) for seed in range(5)])


@pytest.fixture
def colours():
    """``[5, 3, 27, 64]``: a grid with black, white, greys and pure colours, then random ones."""
    levels = torch.tensor([0.0, 0.5, 1.0])
    grid = torch.cartesian_prod(levels, levels, levels).T[None, :, :, None].expand(5, 3, 27, 8)
    return torch.cat([grid, torch.rand(5, 3, 27, 56, generator=torch.Generator().manual_seed(0))], dim=-1)


@pytest.mark.parametrize("name", ADJUST)
def test_each_step_of_the_jitter_is_torchvision_s(name, colours):
    ours, theirs, factors = ADJUST[name]
    expected = torch.stack([theirs(view, f) for view, f in zip(colours, factors, strict=True)])
    assert_close(ours(colours, torch.tensor(factors)), expected, rtol=0, atol=2e-5)


def test_a_hue_is_the_same_after_a_whole_turn_and_grey_has_none(colours):
    shift = torch.linspace(-0.4, 0.4, 5)
    assert_close(adjust_hue(adjust_hue(colours, shift), -shift), colours, rtol=0, atol=1e-4)
    assert_close(adjust_hue(colours, torch.full((5,), 0.5)), adjust_hue(colours, torch.full((5,), -0.5)))
    grey = colours[:, :1].expand_as(colours)
    assert_close(adjust_hue(grey, shift), grey)
    third = torch.full((5,), 1 / 3)
    assert_close(adjust_hue(colours, third), colours.roll(1, dims=1), rtol=0, atol=1e-5)


def test_blur_is_torchvision_s(colours):
    views, sigmas = colours[..., :27], (0.1, 0.5, 1.0, 1.7, 2.0)
    expected = torch.stack(
        [functional.gaussian_blur(view, [13, 13], [s, s]) for view, s in zip(views, sigmas, strict=True)]
    )
    assert_close(gaussian_blur(views, torch.tensor(sigmas), radius=6), expected, rtol=0, atol=1e-5)


def test_a_very_narrow_blur_changes_nothing_and_every_blur_keeps_a_flat_view():
    weights = blur_weights(torch.tensor([0.1, 2.0]), radius=6, size=9)
    assert_close(weights[0], torch.eye(9))
    assert_close(weights.sum(-1), torch.ones(2, 9))


@pytest.mark.parametrize("size", [9, 32, 80])
def test_crops_are_torchvision_s_at_any_size_mirrored_or_not(images, size):
    boxes = np.array([[0, 0, 48, 60], [3, 7, 45, 20], [10, 0, 5, 60], [47, 59, 1, 1], [8, 8, 32, 32]])
    flipped = np.array([False, True, False, True, True])
    expected = [
        functional.resized_crop(image / 255, *box, size=[size, size], antialias=True)
        for image, box in zip(images, boxes.tolist(), strict=True)
    ]
    expected = torch.stack([e.flip(-1) if f else e for e, f in zip(expected, flipped, strict=True)])
    assert_close(resized_crops(images, boxes, flipped, size=size), expected, rtol=0, atol=1e-4)


def test_resize_weights_by_the_definition():
    """The weights of a pixel are a triangle around its position, cut at the crop, with the sum 1."""
    start, length, source, size = 3, 11, 20, 4
    expected = np.zeros((size, source))
    for i in range(size):
        centre = start + (i + 0.5) * length / size
        for j in range(start, start + length):
            expected[i, j] = max(0.0, 1 - abs(j + 0.5 - centre) / max(1.0, length / size))
        expected[i] /= expected[i].sum()
    lengths = torch.full((2,), float(length))
    weights = resize_weights(
        torch.full((2,), float(start)), lengths, torch.tensor([1.0, -1.0]), source=source, size=size
    )
    assert_close(weights[0].double().numpy(), expected, rtol=0, atol=1e-6)
    assert_close(weights[1].double().numpy(), expected[::-1].copy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [32, 96])
def test_both_roads_make_the_same_view_from_the_same_draws(size):
    """They differ by the crop that ``augment_cpu`` rounds to bytes, stretched by the jitter."""
    settings = replace(STUDY, size=size)
    images = torch.stack([picture(seed, 64, 80) for seed in range(60)])
    draws = draw_views(settings, generator(0, "both"), n=60, height=64, width=80)
    views = render_views(images, draws, settings)
    for i in range(60):
        one = replace(draws, **{name: value[i : i + 1] for name, value in vars(draws).items()})
        other = render_view(images[i].permute(1, 2, 0).numpy(), one, settings)
        gap = (views[i] * 255 - torch.from_numpy(other)).abs()
        assert gap.mean() < 0.6
        assert gap.max() < 5.0


def test_views_look_statistically_like_torchvision_s_own_chain(images):
    """Brightness, contrast, colour and edges of many views are compared with an independent chain."""
    n = 2000
    theirs = v2.Compose(
        [
            v2.RandomResizedCrop(32, scale=(0.2, 1), antialias=True),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], p=0.5),
            v2.RandomHorizontalFlip(),
        ]
    )
    batch = images[torch.arange(n) % 5]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reference = _look(torch.stack([theirs(image / 255) for image in batch]))
    ours = _look(augment_batch(batch, SMALL, generator(0, "look")))
    spread = ours.std(0)
    assert (((ours.mean(0) - reference.mean(0)) / spread).abs() < 4 * (2 / n) ** 0.5).all()
    assert ((spread / reference.std(0)).log().abs() < 0.1).all()


def _look(views):
    """``[n, 4]``: brightness, contrast, colourfulness, edge energy."""
    grey = views.mean(1)
    edges = (grey.diff(dim=-1) ** 2).mean((1, 2)).sqrt()
    return torch.stack([grey.mean((1, 2)), grey.std((1, 2)), views.std(1).mean((1, 2)), edges], dim=1)


def test_everything_off_is_a_plain_resize(images):
    plain = functional.resize(images / 255, [32, 32], antialias=True)
    assert_close(augment_batch(images, OFF, generator(0)), plain, rtol=0, atol=1e-4)


def test_everything_off_at_the_same_size_is_the_image_itself(images):
    square = images[..., :48]
    views = augment_batch(square, replace(OFF, size=48, ratio=(1, 1)), generator(0))
    assert views.dtype == torch.float32
    assert_close(views, square / 255)


@pytest.mark.parametrize(
    ("flag", "expected"),
    [("flip_prob", lambda x: x.flip(-1)), ("gray_prob", lambda x: functional.rgb_to_grayscale(x, 3))],
)
def test_what_is_certain_happens_to_every_view(images, flag, expected):
    plain = augment_batch(images, OFF, generator(0))
    views = augment_batch(images, replace(OFF, **{flag: 1.0}), generator(0))
    assert_close(views, expected(plain), rtol=0, atol=1e-5)


def test_each_view_takes_its_steps_in_its_own_order(images):
    draws = draw_views(OFF, generator(0), n=5, height=48, width=60)
    steps = [ADJUST[name][1] for name in ADJUST]
    draws = replace(
        draws,
        factors=np.array([[1.4, 0.6, 1.3, 0.1]] * 4 + [NEUTRAL]),
        orders=np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [0, 1, 2, 3]]),
    )
    expected = functional.resize(images / 255, [32, 32], antialias=True)
    for i in range(5):
        for step in draws.orders[i]:
            expected[i] = steps[step](expected[i], float(draws.factors[i, step]))
    assert_close(render_views(images, draws, OFF), expected, rtol=0, atol=3e-4)


def test_a_view_does_not_depend_on_its_neighbours(images):
    draws = draw_views(SMALL, generator(3), n=5, height=48, width=60)
    together = render_views(images, draws, SMALL)
    for i in range(5):
        alone = replace(draws, **{name: value[i : i + 1] for name, value in vars(draws).items()})
        assert_close(render_views(images[i : i + 1], alone, SMALL)[0], together[i], rtol=0, atol=1e-5)


def test_equal_generators_give_equal_bytes_and_every_sample_its_own_view():
    same = picture(0, 48, 60).expand(6, 3, 48, 60)
    first, again, other = (augment_batch(same, SMALL, generator(0, draw)) for draw in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    gaps = torch.cdist(first.flatten(1), first.flatten(1))
    assert gaps[~torch.eye(6, dtype=torch.bool)].min() > 0.1


def test_values_stay_in_range_and_images_stay_as_they_were(images):
    harsh = replace(SMALL, jitter=(1.0, 1.0, 1.0, 0.5), jitter_prob=1.0, blur_prob=1.0)
    before = images.clone()
    views = augment_batch(images.repeat(20, 1, 1, 1), harsh, generator(0))
    assert views.min() >= 0
    assert views.max() <= 1 + 1e-5
    assert torch.equal(images, before)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_smallest_views_and_images_work(size):
    images = torch.full((8, 3, 1, 2), 200, dtype=torch.uint8)
    views = augment_batch(images, replace(OFF, size=size, blur_prob=1.0, flip_prob=0.5), generator(0))
    assert_close(views, torch.full((8, 3, size, size), 200 / 255))


def test_no_images_give_no_views():
    assert augment_batch(torch.empty(0, 3, 8, 8, dtype=torch.uint8), SMALL, generator(0)).shape == (
        0,
        3,
        32,
        32,
    )


def test_autocast_does_not_touch_the_pixels(images):
    plain = augment_batch(images, SMALL, generator(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment_batch(images, SMALL, generator(0)), plain)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_makes_the_same_views(images):
    views = augment_batch(images.cuda(), SMALL, generator(0)).cpu()
    assert_close(views, augment_batch(images, SMALL, generator(0)), rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 3, 8, 8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 8, 8, 3, dtype=torch.uint8),
    ],
)
def test_images_other_than_rgb_bytes_are_rejected(images):
    with pytest.raises(ShapeError, match=r"need uint8 images \[b, 3, h, w\], not torch.*normalize after"):
        augment_batch(images, SMALL, generator(0))
