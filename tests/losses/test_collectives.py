import pytest
import torch
from torch.testing import assert_close

from tests.losses.examples import random
from transferkit.losses.collectives import ALONE, Collectives, gathered_with_gradient, interleaving

X = torch.randn(3, 2, generator=random(0), dtype=torch.float64)
OTHERS = torch.randn(3, 2, generator=random(1), dtype=torch.float64)
SECOND_OF_TWO = Collectives(rank=1, world_size=2, gather=lambda x: torch.cat([OTHERS, x]))


def test_a_single_process_gathers_its_own_rows():
    assert ALONE.gather(X) is X
    assert_close(ALONE.own(X), X)
    x = X.clone().requires_grad_()
    gathered_with_gradient(x, ALONE).pow(2).sum().backward()
    assert_close(x.grad, 2 * X)


def test_own_returns_the_rows_of_the_rank():
    assert_close(SECOND_OF_TWO.own(torch.arange(6)), torch.tensor([3, 4, 5]))


def test_gathered_rows_keep_their_values_and_send_back_a_gradient_times_the_number_of_processes():
    x = X.clone().requires_grad_()
    everyone = gathered_with_gradient(x, SECOND_OF_TWO)
    assert torch.equal(everyone, torch.cat([OTHERS, X]))
    (everyone.sum(0) ** 2).sum().backward()
    assert_close(x.grad, (2 * 2 * (OTHERS.sum(0) + X.sum(0))).expand(3, 2))


@pytest.mark.parametrize(("n", "parts"), [(8, 2), (32, 4), (25, 4), (7, 3), (5, 1), (100, 8)])
def test_each_part_of_an_interleaving_samples_the_range_evenly(n, parts):
    order = interleaving(n, parts)
    assert sorted(order.tolist()) == list(range(n))
    for stretch in order.tensor_split(parts):
        shared = [torch.isin(stretch, other).sum().item() for other in torch.arange(n).tensor_split(parts)]
        assert max(shared) - min(shared) <= (1 if n % parts**2 else 0)


def test_an_exact_division_is_interleaved_exactly():
    assert interleaving(6, 3).tolist() == [0, 3, 1, 4, 2, 5]
    assert interleaving(4, 1).tolist() == [0, 1, 2, 3]
