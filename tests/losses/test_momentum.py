import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.losses.examples import Encoder, random, weights
from transferkit.losses.momentum import momentum_copy, update_momentum


@pytest.fixture
def pair():
    """A trained network, and a slow copy of what it was."""
    fast = Encoder(batch_norm=True, seed=0)
    slow = momentum_copy(fast)
    weights(fast, seed=1)
    return slow, fast


def test_a_momentum_copy_is_equal_separate_and_has_no_gradients():
    fast = Encoder(batch_norm=True)
    slow = momentum_copy(fast)
    assert_close(slow.state_dict(), fast.state_dict())
    assert not any(parameter.requires_grad for parameter in slow.parameters())
    assert all(parameter.requires_grad for parameter in fast.parameters())
    weights(fast, seed=1)
    assert not torch.equal(slow.first.weight, fast.first.weight)


@pytest.mark.parametrize("momentum", [0.9, 0.999])
def test_against_the_closed_form(pair, momentum):
    slow, fast = (module.double() for module in pair)
    start = [parameter.clone() for parameter in slow.parameters()]
    for _ in range(7):
        update_momentum(slow, fast, momentum=momentum)
    for now, was, target in zip(slow.parameters(), start, fast.parameters(), strict=True):
        assert_close(now, momentum**7 * was + (1 - momentum**7) * target)


def test_momentum_one_keeps_the_weights_and_momentum_zero_copies_them(pair):
    slow, fast = pair
    start = [parameter.clone() for parameter in slow.parameters()]
    update_momentum(slow, fast, momentum=1)
    assert all(torch.equal(now, was) for now, was in zip(slow.parameters(), start, strict=True))
    update_momentum(slow, fast, momentum=0)
    assert all(torch.equal(a, b) for a, b in zip(slow.parameters(), fast.parameters(), strict=True))


def test_the_trained_network_is_not_changed(pair):
    slow, fast = pair
    before = {name: value.clone() for name, value in fast.state_dict().items()}
    update_momentum(slow, fast, momentum=0.5)
    assert_close(fast.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in fast.parameters())


def test_statistics_are_kept_and_counters_are_copied(pair):
    slow, fast = pair
    fast.norm(torch.randn(16, 8, generator=random(2)))
    update_momentum(slow, fast, momentum=0.5)
    assert_close(slow.norm.running_mean, torch.zeros(8))
    assert slow.norm.num_batches_tracked.item() == fast.norm.num_batches_tracked.item() == 1


def test_networks_of_different_size_are_refused():
    with pytest.raises((RuntimeError, ValueError)):
        update_momentum(nn.Linear(2, 3), nn.Linear(2, 4), momentum=0.5)
