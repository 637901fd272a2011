"""Batch normalisation of each shard of a batch separately, in one forward pass."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def normalise_in_shards(network: nn.Module, shards: int) -> None:
    """Let every batch normalisation of ``network`` compute its statistics for each shard separately in training.

    Outputs, gradients and running statistics equal those of one forward pass per shard if only batch
    normalisation mixes images; all other modules process the whole batch at once.

    Args:
        network: changed in place; its evaluation mode is unchanged.
        shards: number of consecutive parts of a batch.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.forward = partial(_by_shard, module, type(module).forward, shards)  # type: ignore[method-assign]


def _by_shard(module: nn.Module, forward: Callable[..., Tensor], shards: int, x: Tensor) -> Tensor:
    if not module.training:
        return forward(module, x)
    smaller, larger = divmod(len(x), shards)
    sizes = [smaller + (shard < larger) for shard in range(shards)]  # as tensor_split, with a faster backward pass
    return torch.cat([forward(module, part) for part in x.split(sizes)])
