import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transferkit.models.pointwise_conv import pointwise_conv


def both(convolution: nn.Conv2d, shape: tuple[int, ...]):
    """Return the output and the gradients of input and parameters, by the library and by ``pointwise_conv``."""
    ours = copy.deepcopy(convolution)
    pointwise_conv(ours)
    found = []
    for module in (convolution, ours):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        x.requires_grad_()
        y = module.double()(x)
        y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y))
        found.append([y, x.grad, *(p.grad for p in module.parameters())])
    return found


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({"kernel_size": 3, "padding": 1}, (1, 1)),
        ({"kernel_size": 3, "padding": 1, "stride": 2, "bias": False}, (2, 2)),  # the kernel's far corner
        ({"kernel_size": 3, "padding": 1, "stride": 2}, (1, 2)),
        ({"kernel_size": 2, "stride": 2}, (3, 3)),  # the stride leaves a row and a column out
        ({"kernel_size": (1, 3), "padding": (0, 1)}, (1, 1)),
        ({"kernel_size": 7, "padding": 3, "stride": 2}, (2, 1)),
        ({"kernel_size": 1}, (1, 1)),
        ({"kernel_size": 3, "padding": 1}, (5, 4)),  # many pixels
        ({"kernel_size": 3, "padding": 1, "stride": 2}, (1, 4)),  # one row of several
        ({"kernel_size": 3, "padding": 1, "groups": 2}, (1, 1)),  # not plain, and left alone
        ({"kernel_size": 3, "padding": 1, "padding_mode": "circular"}, (1, 1)),
        ({"kernel_size": 3, "padding": "same"}, (1, 1)),
    ],
)
def test_outputs_and_gradients_are_those_of_the_convolution(options, sides):
    torch.manual_seed(1)
    theirs, ours = both(nn.Conv2d(4, 6, **options), (5, 4, *sides))
    assert_close(ours, theirs)


def test_it_is_a_product_where_one_pixel_is_given(monkeypatch):
    network = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 2, 3, stride=2, padding=1))
    pointwise_conv(network)

    def refuse(*_):
        raise AssertionError("a convolution")

    monkeypatch.setattr(nn.Conv2d, "forward", refuse)
    assert network(torch.ones(3, 4, 1, 1)).shape == (3, 2, 1, 1)
    with pytest.raises(AssertionError, match="a convolution"):
        network(torch.ones(3, 4, 2, 2))


def test_a_copy_computes_with_its_own_weights():
    first = nn.Conv2d(2, 2, 3, padding=1)
    pointwise_conv(first)
    second = copy.deepcopy(first)
    nn.init.zeros_(second.weight)
    x = torch.ones(1, 2, 1, 1)
    assert_close(second(x), second.bias.view(1, 2, 1, 1).expand(1, 2, 1, 1))
    assert not torch.allclose(first(x), second(x))


def test_names_of_parameters_stay():
    network = nn.Sequential(nn.Conv2d(2, 2, 1))
    names = list(network.state_dict())
    pointwise_conv(network)
    assert list(network.state_dict()) == names
