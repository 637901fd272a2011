import hashlib

import pytest
import torch
from torch import nn

from transferkit.models.fingerprint import weights_digest


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_the_digest_is_its_definition():
    module = nn.Linear(2, 1)
    expected = hashlib.sha256()
    for name, tensor in (("bias", module.bias), ("weight", module.weight)):
        expected.update(f"{name}\x1f{list(tensor.shape)}\x1ftorch.float32\x1e".encode())
        expected.update(tensor.detach().numpy().tobytes())
    assert weights_digest(module) == expected.hexdigest()


def test_equal_weights_have_equal_digests_in_any_memory_format():
    assert weights_digest(net()) == weights_digest(net())
    assert weights_digest(net().to(memory_format=torch.channels_last)) == weights_digest(net())


@torch.no_grad()
@pytest.mark.parametrize(
    "change",
    [
        lambda m: m[0].weight[0, 0, 0, 0].add_(1e-6),
        lambda m: m[1].running_mean[0].add_(1e-6),
        lambda m: m[1].num_batches_tracked.add_(1),
        lambda m: m.to(torch.float64),
        lambda m: m.to(torch.bfloat16),
        lambda m: m.add_module("2", nn.Linear(1, 1)),
        lambda m: setattr(m[0], "bias", nn.Parameter(m[0].bias.view(2, 2))),
        lambda m: m.register_buffer("more", torch.zeros(0), persistent=False),
    ],
)
def test_any_change_changes_the_digest(change):
    module = net()
    change(module)
    assert weights_digest(module) != weights_digest(net())


def test_the_order_of_registration_does_not_count():
    a, b = nn.Module(), nn.Module()
    a.register_buffer("x", torch.ones(1))
    a.register_buffer("y", torch.zeros(1))
    b.register_buffer("y", torch.zeros(1))
    b.register_buffer("x", torch.ones(1))
    assert weights_digest(a) == weights_digest(b)


def test_a_network_without_weights_has_a_digest():
    assert weights_digest(nn.Flatten()) == hashlib.sha256().hexdigest()


@pytest.mark.gpu
def test_the_device_does_not_count():
    assert weights_digest(net().cuda()) == weights_digest(net())
