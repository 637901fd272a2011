"""The course of the learning rate, and the three optimizers."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.pretraining.trainer import build_optimizer
from transferkit.training.schedules import learning_rate


def job(**changes):
    numbers = {"steps": 100, "warmup": 10, "highest": 0.5, "lowest": 0.001} | changes
    return [learning_rate(step, **numbers) for step in range(numbers["steps"])]


def test_it_rises_in_a_line_from_one_percent():
    rates = job()
    assert rates[0] == pytest.approx(0.005)
    rises = [b - a for a, b in pairwise(rates[:11])]
    assert_close(rises, [0.0495] * 10, rtol=1e-9, atol=0)
    assert rates[10] == 0.5


def test_it_falls_as_torch_says_a_cosine_falls():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90, eta_min=0.001)
    theirs = []
    for _ in range(90):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert_close(job()[10:], theirs, rtol=1e-9, atol=0)


def test_without_warmup_it_starts_at_the_top():
    rates = job(warmup=0)
    assert rates[0] == 0.5
    assert rates == sorted(rates, reverse=True)
    assert math.isclose(learning_rate(100, steps=100, warmup=0, highest=0.5, lowest=0.001), 0.001)


@pytest.mark.parametrize(
    ("name", "changes", "kept"),
    [
        ("sgd", {"momentum": 0.8, "weight_decay": 0.01}, {"momentum": 0.8, "weight_decay": 0.01}),
        ("lars", {"momentum": 0.8, "weight_decay": 0.01}, {"momentum": 0.8, "weight_decay": 0.01}),
        ("adamw", {"weight_decay": 0.01}, {"weight_decay": 0.01}),
    ],
)
def test_an_optimizer_has_the_numbers_and_only_what_is_trained(name, changes, kept):
    trained, frozen = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3), requires_grad=False)
    optimizer = build_optimizer([trained, frozen], PretrainSettings(optimizer=name, lr=0.25, **changes))
    assert type(optimizer).__name__.lower() == name
    (group,) = optimizer.param_groups
    assert group["params"] == [trained]
    assert {key: group[key] for key in kept} == kept
    assert group["lr"] == 0.25
