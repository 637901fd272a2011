"""Batch normalisation by shards in one pass, compared with a separate pass for each shard."""

from copy import deepcopy

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.testing import assert_close

from transferkit.losses.sharding import normalise_in_shards


def networks():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    plain.append(nn.BatchNorm1d(5, momentum=None))  # whose running statistics count the batches
    plain(torch.rand(4, 3, 16, 16))
    return {
        "plain": plain,
        "resnet18": torchvision.models.resnet18(num_classes=5),
        "timm": timm.create_model("test_resnet", num_classes=5),
    }


def trained(network, passes):
    """Outputs, then all gradients and running statistics, after one step's forward and backward pass."""
    network = deepcopy(network).double().train()
    output = torch.cat([network(part) for part in passes])
    output.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return output, gradients, dict(network.named_buffers())


@pytest.mark.parametrize("name", ["plain", "resnet18", "timm"])
@pytest.mark.parametrize(("n", "shards"), [(12, 3), (11, 3), (8, 1)])
def test_the_result_equals_one_forward_pass_per_shard(name, n, shards):
    network = networks()[name]
    images = torch.rand(n, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = trained(network, images.tensor_split(shards))
    normalise_in_shards(network, shards)
    assert_close(trained(network, [images]), expected, rtol=1e-7, atol=1e-8)


def test_the_result_without_shards_is_different():
    network, images = networks()["resnet18"], torch.rand(12, 3, 16, 16).double()
    whole, parts = trained(network, [images])[0], trained(network, images.tensor_split(3))[0]
    assert (whole - parts).abs().max() > 0.01


def test_in_evaluation_mode_nothing_changes():
    network, images = networks()["resnet18"].eval(), torch.rand(3, 3, 16, 16)
    before = network(images)
    normalise_in_shards(network, 8)
    assert_close(network(images), before, rtol=0, atol=0)


def test_a_copy_normalises_by_its_own_weights():
    network = networks()["plain"]
    normalise_in_shards(network, 2)
    other = deepcopy(network)
    nn.init.constant_(other[1].weight, 3.0)
    images = torch.rand(4, 3, 16, 16)
    assert (other[:2](images) - network[:2](images)).abs().max() > 0.1
