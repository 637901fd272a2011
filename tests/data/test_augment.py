"""The draws of random views, and the views that are made one image at a time."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import ColorJitter, RandomResizedCrop

from transferkit.core.errors import ShapeError, UsageError
from transferkit.core.seeding import generator
from transferkit.data.augment import (
    BRIGHTNESS,
    HUE,
    NEUTRAL,
    STUDY,
    AugmentSettings,
    augment_cpu,
    draw_views,
    render_view,
)

OFF = AugmentSettings(size=32, scale=(1, 1), ratio=(1, 1), jitter=(0, 0, 0, 0), gray_prob=0, blur_prob=0, flip_prob=0)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(256, size=(40, 56, 3), dtype=np.uint8)


def same_distribution(a, b):
    return ks_2samp(a, b, method="asymp").pvalue > 1e-3


def test_defaults_are_the_study_s():
    assert json.loads(json.dumps(STUDY.to_json())) == {
        "size": 224,
        "scale": [0.2, 1.0],
        "ratio": [3 / 4, 4 / 3],
        "jitter": [0.4, 0.4, 0.4, 0.1],
        "jitter_prob": 0.8,
        "gray_prob": 0.2,
        "blur_sigma": [0.1, 2.0],
        "blur_prob": 0.5,
        "flip_prob": 0.5,
    }


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("scale", (0.0, 1.0), "two finite numbers above 0"),
        ("scale", (0.5, 0.2), "the smaller first"),
        ("scale", (0.2, 1.5), "the larger at most 1"),
        ("ratio", (2.0, 0.5), r"ratio = \(2.0, 0.5\) is not a range"),
        ("ratio", (0.5, float("nan")), "is not a range"),
        ("ratio", (0.5, float("inf")), "finite"),
        ("ratio", (0.5, 1.0, 2.0), "give 2 values"),
        ("blur_sigma", (0.0, 2.0), "blur_sigma = "),
        ("jitter", (0.4, 0.4, 0.4), "give 4 values"),
        ("jitter", (1.4, 0.4, 0.4, 0.1), "saturation in 0 … 1"),
        ("jitter", (0.4, 0.4, 0.4, 0.6), "hue in 0 … 0.5"),
    ],
)
def test_invalid_settings_are_rejected(name, value, words):
    with pytest.raises(UsageError, match=words):
        replace(STUDY, **{name: value})


def test_the_blur_reads_three_sigmas_but_never_outside_a_small_view():
    assert [replace(STUDY, size=size).blur_radius for size in (224, 7, 6, 1)] == [6, 6, 5, 0]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 120), (300, 50)])
def test_crops_fall_as_in_torchvision(height, width):
    n = 3000
    ours = draw_views(STUDY, generator(0, "crops"), n=n, height=height, width=width).boxes
    blank = torch.empty(3, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        theirs = np.array([RandomResizedCrop.get_params(blank, list(STUDY.scale), list(STUDY.ratio)) for _ in range(n)])
    for name, a, b in [
        *zip(("top", "left", "height", "width"), ours.T, theirs.T, strict=True),
        ("area", ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]),
        ("ratio", ours[:, 3] / ours[:, 2], theirs[:, 3] / theirs[:, 2]),
    ]:
        assert same_distribution(a, b), name


def test_an_image_too_long_for_any_crop_gives_its_centre():
    narrow = replace(STUDY, scale=(0.9, 1.0))
    wide = draw_views(narrow, generator(0), n=50, height=30, width=300).boxes
    tall = draw_views(narrow, generator(0), n=50, height=300, width=30).boxes
    assert (wide == (0, 130, 30, 40)).all()
    assert (tall == (130, 0, 40, 30)).all()


def test_crops_lie_inside_even_the_smallest_image():
    for height, width in ((1, 1), (1, 9), (2, 3)):
        top, left, tall, wide = draw_views(STUDY, generator(0), n=500, height=height, width=width).boxes.T
        assert min(top.min(), left.min()) == 0
        assert min(tall.min(), wide.min()) == 1
        assert (top + tall).max() == height
        assert (left + wide).max() == width


def test_jitter_is_drawn_as_in_torchvision():
    n = 3000
    draws = draw_views(replace(STUDY, jitter_prob=1.0), generator(0, "jitter"), n=n, height=8, width=8)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        limits = ([0.6, 1.4], [0.6, 1.4], [0.6, 1.4], [-0.1, 0.1])
        theirs = [ColorJitter.get_params(*limits) for _ in range(n)]
    for step in range(4):
        assert same_distribution(draws.factors[:, step], [row[1 + step] for row in theirs])
    codes = [draws.orders @ (64, 16, 4, 1), [row[0].numpy() @ (64, 16, 4, 1) for row in theirs]]
    assert len(np.unique(codes[0])) == 24
    assert same_distribution(*codes)


def test_each_thing_happens_as_often_as_its_probability_and_on_its_own():
    n = 20_000
    settings = replace(STUDY, jitter_prob=0.8, gray_prob=0.2, blur_prob=0.6, flip_prob=0.4)
    draws = draw_views(settings, generator(0, "chances"), n=n, height=8, width=8)
    jittered = (draws.factors != NEUTRAL).all(axis=1)
    assert (jittered | (draws.factors == NEUTRAL).all(axis=1)).all()
    happened = np.array([jittered, draws.gray, draws.sigmas > 0, draws.flipped])
    np.testing.assert_allclose(happened.mean(axis=1), [0.8, 0.2, 0.6, 0.4], atol=4 * 0.5 / n**0.5)
    correlation = np.corrcoef(happened)
    assert np.abs(correlation - np.eye(4)).max() < 4 / n**0.5
    blurred = draws.sigmas[draws.sigmas > 0]
    assert same_distribution(blurred, np.linspace(0.1, 2.0, 5000))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certain_things_are_certain(p):
    settings = replace(STUDY, jitter_prob=p, gray_prob=p, blur_prob=p, flip_prob=p)
    draws = draw_views(settings, generator(0), n=2000, height=8, width=8)
    for happened in (draws.factors[:, BRIGHTNESS] != 1, draws.gray, draws.sigmas > 0, draws.flipped):
        assert (happened == bool(p)).all()


def test_the_first_draws_of_many_are_the_draws_of_few():
    few, many = (draw_views(STUDY, generator(7), n=n, height=50, width=60) for n in (3, 8))
    for field in fields(few):
        np.testing.assert_array_equal(getattr(few, field.name), getattr(many, field.name)[:3])


def test_switching_one_thing_off_leaves_the_other_draws_alone():
    all_on = draw_views(STUDY, generator(7), n=40, height=50, width=60)
    no_blur = draw_views(replace(STUDY, blur_prob=0.0), generator(7), n=40, height=50, width=60)
    for name in ("boxes", "factors", "orders", "gray", "flipped"):
        np.testing.assert_array_equal(getattr(all_on, name), getattr(no_blur, name))


def test_everything_off_is_a_plain_resize(image):
    view = augment_cpu(image, replace(OFF, ratio=(1.4, 1.4)), generator(0))
    plain = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert view.dtype == np.uint8
    np.testing.assert_allclose(view.astype(int), plain.astype(int), atol=1)


def test_everything_off_at_the_same_size_is_the_image_itself(image):
    square = image[:, :40]
    view = augment_cpu(square, replace(OFF, size=40), generator(0))
    np.testing.assert_array_equal(view, square.transpose(2, 0, 1))


def test_equal_generators_give_equal_bytes_and_others_do_not(image):
    settings = replace(STUDY, size=24)
    views = [augment_cpu(image, settings, generator(0, "epoch", 3, name, 1)) for name in ("a", "a", "b")]
    assert views[0].shape == (3, 24, 24)
    np.testing.assert_array_equal(views[0], views[1])
    assert (views[0] != views[2]).mean() > 0.5


def test_an_image_is_not_changed_and_may_be_read_only_or_a_slice(image):
    before = image.copy()
    image.flags.writeable = False
    whole = augment_cpu(image[::-1][::-1], replace(STUDY, size=24), generator(0))
    np.testing.assert_array_equal(whole, augment_cpu(before, replace(STUDY, size=24), generator(0)))
    np.testing.assert_array_equal(image, before)


def test_each_draw_is_obeyed(image):
    """Each augmentation is switched on alone and checked by a property that no other one has."""
    settings = replace(OFF, size=40)
    square = image[:, :40]
    nothing = draw_views(settings, generator(0), n=1, height=40, width=40)
    plain = square.transpose(2, 0, 1).astype(int)

    def view(**changed):
        return render_view(square, replace(nothing, **changed), settings).astype(int)

    np.testing.assert_array_equal(view(flipped=np.array([True])), plain[..., ::-1])
    grey = view(gray=np.array([True]))
    np.testing.assert_array_equal(grey, np.broadcast_to(grey[:1], grey.shape))
    assert np.ptp(view(sigmas=np.array([2.0])), axis=(1, 2)).max() < 0.6 * np.ptp(plain)
    dark, turned = (np.array([NEUTRAL]) for _ in range(2))
    dark[0, BRIGHTNESS], turned[0, HUE] = 0.5, 1 / 3
    np.testing.assert_allclose(view(factors=dark), plain * 0.5, atol=1)
    np.testing.assert_allclose(view(factors=turned), np.roll(plain, 1, axis=0), atol=2)
    cropped = render_view(square, replace(nothing, boxes=np.array([[3, 5, 20, 10]])), replace(settings, size=1))
    np.testing.assert_allclose(cropped[:, 0, 0], plain[:, 3:23, 5:15].mean((1, 2)), atol=12)


def test_the_order_of_the_jitter_matters_and_is_obeyed(image):
    settings = replace(OFF, size=40)
    nothing = draw_views(settings, generator(0), n=1, height=40, width=40)
    factors = np.array([[1.4, 0.6, 1.0, 0.0]])
    bright_first, contrast_first = (
        render_view(image, replace(nothing, factors=factors, orders=np.array([order])), settings)
        for order in ((0, 1, 2, 3), (1, 0, 2, 3))
    )
    assert (bright_first != contrast_first).mean() > 0.3


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_images_other_than_rgb_bytes_are_rejected(image):
    with pytest.raises(ShapeError, match=r"needs a uint8 image \[h, w, 3\], not"):
        augment_cpu(image, STUDY, generator(0))
