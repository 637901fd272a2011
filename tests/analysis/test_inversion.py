from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.reference import inversion as reference
from transferkit.analysis.image_quality import psnr
from transferkit.analysis.inversion import feature_distances, invert, total_variation
from transferkit.analysis.inversion_settings import FULL, InversionSettings
from transferkit.core.errors import ModelError, NonFiniteError, ShapeError

PIXELS = InversionSettings(method="pixels", steps=60, tv=0.0)
PRIOR = InversionSettings(steps=40, decoder_width=4, decoder_depth=2)
pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(n=2, size=16):
    """Smooth patches of colour."""
    return nn.functional.interpolate(noise(n, 3, 4, 4), size=(size, size), mode="bilinear")


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def identity(x):
    return x


def network(depth: int):
    """Convolutions that halve the map ``depth`` times and keep six channels: deeper keeps less."""
    draw = torch.Generator().manual_seed(3)
    layers = []
    for level in range(depth):
        convolution = nn.Conv2d(6 if level else 3, 6, 3, stride=2, padding=1)
        with torch.no_grad():
            convolution.weight.normal_(0, 0.4, generator=draw)
        layers += [convolution, nn.Tanh()]
    return nn.Sequential(*layers)


def found(features_of, images, settings, *, seed=0):
    with torch.no_grad():
        target = features_of(images)
    return invert(features_of, target, size=images.shape[-1], settings=settings, seed=seed)


def test_distances_and_variation_agree_with_the_reference():
    a, b = noise(2, 3, 5, 5), noise(2, 3, 5, 5, seed=1)
    for row in range(2):
        assert float(feature_distances(a, b)[row]) == pytest.approx(reference.feature_distance(a[row], b[row]))
        assert float(total_variation(a)[row]) == pytest.approx(reference.total_variation(a[row].numpy()))


def test_distances_are_relative_but_to_nothing():
    a, b = noise(2, 7), noise(2, 7, seed=1)
    assert_close(feature_distances(3 * a, 3 * b), feature_distances(a, b))
    assert feature_distances(torch.zeros(2, 7), b).tolist() == pytest.approx([1, 1])
    assert feature_distances(torch.ones(2, 7), torch.zeros(2, 7)).tolist() == [7, 7]


def test_variation_of_flat_images_is_none():
    assert total_variation(torch.full((2, 3, 5, 5), 0.7)).tolist() == pytest.approx([0, 0], abs=1e-12)


def test_pixels_seen_as_they_are_come_back():
    images = pictures()
    inversion = found(identity, images, PIXELS)
    assert psnr(images, inversion.images).min() > 25
    assert_close(inversion.distances, feature_distances(inversion.images, images))


def test_a_prior_comes_nearer_and_draws_the_image():
    images = pictures()
    inversion = found(identity, images, PRIOR)
    assert (inversion.distances < 0.2 * inversion.curve[0]).all()
    assert psnr(images, inversion.images).min() > psnr(images, torch.full_like(images, 0.5)).max()


@pytest.mark.parametrize("settings", [PIXELS, PRIOR])
def test_a_shallow_layer_shows_more_than_a_deep_one(settings):
    images = pictures()
    shallow, deep = (found(network(depth), images, settings).images for depth in (1, 4))
    assert psnr(images, shallow).mean() > psnr(images, deep).mean() + 2


@pytest.mark.parametrize("settings", [PIXELS, PRIOR])
def test_the_same_seed_finds_the_same_bits(settings):
    settings = replace(settings, steps=4)
    images, tap = pictures(), network(2)
    once, again, other = (found(tap, images, settings, seed=seed).images for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("settings", [PIXELS, PRIOR])
def test_an_image_is_found_without_those_beside_it(settings):
    settings = replace(settings, steps=8)
    images, tap = pictures(3), network(2)
    together, alone = found(tap, images, settings), found(tap, images[:1], settings)
    assert_close(together.images[:1], alone.images, rtol=1e-3, atol=1e-3)
    assert_close(together.curve[:, :1], alone.curve, rtol=1e-3, atol=1e-3)


def test_what_was_nearest_on_the_way_is_kept():
    images = pictures()
    wild = found(identity, images, replace(PIXELS, lr=8.0, steps=15))
    assert_close(wild.distances, wild.curve.amin(0))
    assert (wild.distances < wild.curve[-1]).any()  # or it showed nothing
    assert_close(wild.distances, feature_distances(wild.images, images))


def test_more_steps_only_come_nearer():
    images, tap = pictures(), network(3)
    short, long = (found(tap, images, replace(PRIOR, steps=steps)) for steps in (5, 15))
    assert torch.equal(short.curve, long.curve[:5])
    assert (long.distances <= short.distances).all()


def test_total_variation_smooths():
    images, tap = pictures(), network(3)
    rough, smooth = (found(tap, images, replace(PIXELS, tv=tv)).images for tv in (0.0, 10.0))
    assert (total_variation(smooth) < 0.5 * total_variation(rough)).all()


def test_weights_of_the_network_get_no_gradient_and_steps_are_told():
    tap, told = network(2), []
    with torch.no_grad():  # the search turns gradients on for itself
        target = tap(pictures())
        invert(tap, target, size=16, settings=replace(PIXELS, steps=3), seed=0, on_step=lambda: told.append(1))
    assert all(parameter.grad is None for parameter in tap.parameters())
    assert len(told) == 3


def test_features_of_another_size_are_refused():
    with pytest.raises(ShapeError, match=r"16×16 have features \[2, 3, 16, 16\], the target is \[2, 3, 20, 20\]"):
        invert(identity, pictures(size=20), size=16, settings=PIXELS, seed=0)


def test_features_that_cannot_be_descended_are_refused():
    with pytest.raises(ModelError, match="carry no gradient back to the images"):
        invert(torch.Tensor.detach, pictures(), size=16, settings=PIXELS, seed=0)


def test_targets_that_are_not_finite_or_not_there_are_refused():
    target = pictures()
    target[1, 0, 0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"target of image 1 is not finite. Leave that image out"):
        invert(identity, target, size=16, settings=PIXELS, seed=0)
    with pytest.raises(ShapeError, match=r"target \[0, 3, 16, 16\] holds no image"):
        invert(identity, target[:0], size=16, settings=PIXELS, seed=0)


def test_a_search_gone_astray_says_where():
    calls = []

    def breaking(x):
        calls.append(1)
        return x if len(calls) < 3 else x / torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)

    with pytest.raises(NonFiniteError, match=r"distance of image 1 is inf at step 2, at a learning rate of 0.1: lower"):
        invert(breaking, pictures(), size=16, settings=PIXELS, seed=0)


def test_each_method_has_a_rate_and_a_smoothing_of_its_own():
    assert InversionSettings().to_json() == {
        "method": "prior", "steps": 200, "lr": 0.01, "tv": 0.0, "decoder_width": 16, "decoder_depth": 4,
    }  # fmt: skip
    assert (InversionSettings(method="pixels").rate, InversionSettings(method="pixels").smoothing) == (
        0.1,
        1.0,
    )
    assert (InversionSettings(lr=3.0).rate, InversionSettings(tv=3.0).smoothing) == (3.0, 3.0)
    assert (FULL.rate, FULL.steps) == (0.001, 3100)
