"""The momentum encoder: a slowly moving average of the one that is trained [1].

[1] He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020, equation 2.
"""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

M = TypeVar("M", bound=nn.Module)


def momentum_copy(module: M) -> M:
    """An equal module that no gradient reaches."""
    return deepcopy(module).requires_grad_(False)


@torch.no_grad()
def update_momentum(slow: nn.Module, fast: nn.Module, *, momentum: float) -> None:
    """``slow ← momentum · slow + (1 − momentum) · fast`` for every parameter, in place.

    Buffers are not averaged. Those of floating point are statistics that a network gathers in its own
    forward passes, as batch normalisation does; they describe the activations of its own weights, so
    ``slow`` keeps its own. All others count or index, and are copied.

    Args:
        slow: a ``momentum_copy`` of the other.
        fast: the module that is trained.
        momentum: in 0 … 1; at 0 a copy, at 1 unchanged.
    """
    average = get_ema_multi_avg_fn(momentum)
    average(tuple(slow.parameters()), tuple(fast.parameters()), None)
    for own, other in zip(slow.buffers(), fast.buffers(), strict=True):
        if not own.is_floating_point():
            own.copy_(other)
