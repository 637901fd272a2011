"""The momentum encoder: an exponential moving average of the trained encoder [1].

[1] He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020, equation 2.
"""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

M = TypeVar("M", bound=nn.Module)


def momentum_copy(module: M) -> M:
    """Return a copy of the module that receives no gradients."""
    return deepcopy(module).requires_grad_(False)


@torch.no_grad()
def update_momentum(slow: nn.Module, fast: nn.Module, *, momentum: float) -> None:
    """Set ``slow ← momentum · slow + (1 − momentum) · fast`` for every parameter, in place.

    Buffers are not averaged. Floating-point buffers, such as the statistics of batch normalisation, describe
    the activations of a network's own weights, so ``slow`` keeps them. All other buffers are counters or
    indices, and are copied.

    Args:
        slow: a ``momentum_copy`` of ``fast``.
        fast: the module that is trained.
        momentum: coefficient in 0 … 1; 0 copies ``fast``, 1 leaves ``slow`` unchanged.
    """
    average = get_ema_multi_avg_fn(momentum)
    average(tuple(slow.parameters()), tuple(fast.parameters()), None)
    for own, other in zip(slow.buffers(), fast.buffers(), strict=True):
        if not own.is_floating_point():
            own.copy_(other)
