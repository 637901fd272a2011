"""Fine-tuning by plain loops: one batch of all rows a step, or batch after batch; schedules written out."""

import math
from collections.abc import Sequence

import torch
from torch import nn


def finetuned(
    body: nn.Module,
    head: nn.Linear,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    lr: float,
    decay: float,
    steps: int,
    clip: float = math.inf,
) -> None:
    """Train ``body`` and ``head`` in place; statistics of batch normalisations stay as they are.

    All gradients together are shortened to length ``clip`` where they are longer.
    """
    body.eval()
    parameters = [*head.parameters(), *body.parameters()]
    velocity = [torch.zeros_like(p) for p in parameters]
    for step in range(steps):
        rate = lr * (1 + math.cos(math.pi * step / steps)) / 2
        loss = nn.functional.cross_entropy(head(body(images)), labels)
        gradients = torch.autograd.grad(loss, parameters)
        length = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
        gradients = [g * min(1.0, clip / length) for g in gradients]
        with torch.no_grad():
            for p, v, g in zip(parameters, velocity, gradients, strict=True):
                v.mul_(0.9).add_(g + decay * p)
                p.sub_(rate * v)


def rate_of(step: int, steps: int, *, lr: float, warmup: int, schedule: str) -> float:
    """Up from 1 % in ``warmup`` steps; then half a cosine, or a tenth after half and after three quarters."""
    if step < warmup:
        return lr * (0.01 + 0.99 * step / warmup)
    if schedule == "cosine":
        return lr * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
    return lr if 4 * step < 2 * steps else lr / 10 if 4 * step < 3 * steps else lr / 100


def finetuned_in_batches(
    parts: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    batches: Sequence[torch.Tensor],
    *,
    lr: float,
    decay: float,
    warmup: int,
    schedule: str,
) -> None:
    """Train ``parts``, which give logits, in place: a step for each of ``batches``, rows of ``images``.

    Batch normalisations use, and gather, the statistics of the batches.
    """
    parts.train()
    parameters = list(parts.parameters())
    velocity = [torch.zeros_like(p) for p in parameters]
    for step, rows in enumerate(batches):
        rate = rate_of(step, len(batches), lr=lr, warmup=warmup, schedule=schedule)
        log_p = parts(images[rows]).log_softmax(1)
        loss = -sum(log_p[place, labels[row]] for place, row in enumerate(rows.tolist())) / len(rows)
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, v, g in zip(parameters, velocity, gradients, strict=True):
                v.mul_(0.9).add_(g + decay * p)
                p.sub_(rate * v)
