"""Fine-tuning by a plain loop: one batch of all rows a step, PyTorch's SGD, a cosine written out."""

import math

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
