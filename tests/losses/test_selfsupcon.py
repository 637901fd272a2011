import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch.autograd import gradcheck
from torch.testing import assert_close

from tests.losses.examples import full_bank, random, rotation, unit_rows
from tests.reference import losses as reference
from transferkit.losses.queue import Bank
from transferkit.losses.selfsupcon import info_nce

N, P, K = 6, 5, 11
QUERIES, KEYS, BANK = unit_rows(N, P, seed=0), unit_rows(N, P, seed=1), unit_rows(K, P, seed=2)


def loss_of(queries, keys=KEYS, bank=BANK, temperature=0.07):
    return info_nce(queries, keys, full_bank(bank), temperature=temperature)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_against_the_reference(temperature):
    expected = reference.info_nce(QUERIES, KEYS, BANK, temperature)
    assert loss_of(QUERIES, temperature=temperature).item() == pytest.approx(expected, rel=1e-12)


def test_gradient_against_the_reference():
    queries = QUERIES.clone().requires_grad_()
    loss_of(queries).backward()
    expected = reference.numeric_gradient(
        lambda q: reference.info_nce(q, KEYS, BANK, 0.07), QUERIES.tolist(), step=1e-7
    )
    assert_close(queries.grad, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)
    assert gradcheck(loss_of, queries)


def test_against_lightly_with_a_memory_bank():
    theirs = NTXentLoss(temperature=0.07, memory_bank_size=(K, P))
    theirs(QUERIES.float(), KEYS.float())  # makes the bank
    theirs.memory_bank.bank = BANK.clone()
    ours, other = QUERIES.clone().requires_grad_(), QUERIES.clone().requires_grad_()
    loss, expected = loss_of(ours), theirs(other, KEYS)
    assert_close(loss, expected)
    loss.backward()
    expected.backward()
    # lightly normalises inside: only the part of our gradient along the sphere is theirs
    tangent = ours.grad - (ours.grad * QUERIES).sum(1, keepdim=True) * QUERIES
    assert_close(tangent, other.grad)


def test_order_of_batch_and_bank_does_not_matter():
    order, places = torch.randperm(N, generator=random(3)), torch.randperm(K, generator=random(4))
    assert_close(loss_of(QUERIES[order], KEYS[order], BANK[places]), loss_of(QUERIES))


def test_the_loss_is_invariant_to_rotations():
    turn = rotation(P, seed=5)
    assert_close(loss_of(QUERIES @ turn, KEYS @ turn, BANK @ turn), loss_of(QUERIES))


def test_unwritten_slots_are_ignored():
    filled = torch.arange(K) < 4
    queries = QUERIES.clone().requires_grad_()
    loss = info_nce(queries, KEYS, Bank(BANK, torch.full((K,), -1), filled), temperature=0.07)
    assert_close(loss, loss_of(QUERIES, bank=BANK[:4]))
    loss.backward()
    alone = QUERIES.clone().requires_grad_()
    loss_of(alone, bank=BANK[:4]).backward()
    assert_close(queries.grad, alone.grad)


def test_the_loss_is_zero_for_an_empty_bank():
    queries = QUERIES.clone().requires_grad_()
    bank = Bank(BANK, torch.full((K,), -1), torch.zeros(K, dtype=torch.bool))
    loss = info_nce(queries, KEYS, bank, temperature=0.07)
    loss.backward()
    assert loss.item() == 0
    assert_close(queries.grad, torch.zeros_like(queries))


def test_limits_of_the_temperature():
    assert loss_of(QUERIES, temperature=1e9).item() == pytest.approx(math.log(1 + K))
    margin = ((QUERIES @ BANK.T).max(1).values - (QUERIES * KEYS).sum(1)).clamp(min=0).mean()
    assert 1e-6 * loss_of(QUERIES, temperature=1e-6).item() == pytest.approx(margin.item(), abs=1e-5)


def test_the_loss_of_equal_keys_is_the_log_of_their_number():
    same = unit_rows(1, P, seed=6)
    loss = loss_of(same.expand(N, P), same.expand(N, P), same.expand(K, P))
    assert loss.item() == pytest.approx(math.log(1 + K))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_computes_in_float32(dtype):
    halves = [x.to(dtype) for x in (QUERIES, KEYS, BANK)]
    loss = loss_of(*halves, temperature=1e-3)
    assert loss.dtype == torch.float32
    exact = loss_of(*(x.double() for x in halves), temperature=1e-3)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


def test_autocast_does_not_round_the_similarities():
    single = [x.float() for x in (QUERIES, KEYS, BANK)]
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(*single)
    assert_close(loss, loss_of(*single), rtol=1e-6, atol=1e-6)
