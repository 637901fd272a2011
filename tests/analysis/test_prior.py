import pytest
import torch
from torch.testing import assert_close

from tests.reference import prior as reference
from transferkit.analysis.prior import AMPLITUDE, DeepImagePrior
from transferkit.core.errors import UsageError


def prior(images=3, size=16, *, decoder_width=2, decoder_depth=2, seed=0):
    return DeepImagePrior(images, size, decoder_width=decoder_width, decoder_depth=decoder_depth, seed=seed)


@pytest.mark.parametrize(("size", "depth"), [(16, 2), (19, 3), (8, 1)])
def test_each_image_is_drawn_as_by_a_network_of_its_own(size, depth):
    network = prior(size=size, decoder_depth=depth)
    for layer in network.modules():  # scale and shift count too
        if isinstance(layer, torch.nn.InstanceNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 2, generator=torch.Generator().manual_seed(1))
            torch.nn.init.uniform_(layer.bias, -1, 1, generator=torch.Generator().manual_seed(2))
    alone = torch.stack([reference.drawing(network, image, 3) for image in range(3)])
    assert_close(network().detach(), alone, rtol=1e-4, atol=1e-5)


def test_an_image_does_not_depend_on_those_beside_it():
    assert_close(prior(images=4)()[:2], prior(images=2)(), rtol=1e-5, atol=1e-6)


def test_images_share_no_weights():
    network = prior()
    network()[1].sum().backward()
    for parameter in network.parameters():
        first, second, third = parameter.grad.chunk(3)
        assert not first.any()
        assert not third.any()
    assert second.any()  # of the last bias


def test_seed_decides_and_the_global_generator_does_not_move():
    state = torch.get_rng_state()
    assert_close(prior(seed=1)(), prior(seed=1)(), rtol=0, atol=0)
    assert not torch.equal(prior(seed=1)(), prior(seed=2)())
    assert torch.equal(torch.get_rng_state(), state)


def test_images_and_noise_lie_in_their_ranges():
    network = prior()
    images = network()
    assert images.shape == (3, 3, 16, 16)
    assert 0 < images.min() < images.max() < 1
    assert 0 <= network.noise.min() < network.noise.max() < AMPLITUDE
    assert network.noise.mean() == pytest.approx(AMPLITUDE / 2, rel=0.02)


def test_widths_double_up_to_eight_times():
    convolutions = [
        m for m in prior(1, 64, decoder_width=2, decoder_depth=5).down.modules() if isinstance(m, torch.nn.Conv2d)
    ]
    assert [m.out_channels for m in convolutions[::2]] == [2, 4, 8, 16, 16]


def test_too_small_an_image_is_refused():
    prior(size=8, decoder_depth=2)
    with pytest.raises(UsageError, match=r"depth 2 draws squares of 8 pixels or more, not 7. Lower --decoder-depth"):
        prior(size=7, decoder_depth=2)
