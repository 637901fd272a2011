"""Batch normalisation shard by shard, in one pass over the batch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def normalise_in_shards(network: nn.Module, shards: int) -> None:
    """Let every batch normalisation of ``network``, while it trains, take its statistics shard by shard.

    The outputs, gradients and running statistics are those of one pass for each shard after the other, where
    nothing but batch normalisation looks at more than one image; all else is computed for the whole batch.

    Args:
        network: changed in place; what it does in evaluation mode stays as it is.
        shards: into how many stretches a batch is cut.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.forward = partial(_by_shard, module, type(module).forward, shards)  # type: ignore[method-assign]


def _by_shard(module: nn.Module, forward: Callable[..., Tensor], shards: int, x: Tensor) -> Tensor:
    if not module.training:
        return forward(module, x)
    smaller, larger = divmod(len(x), shards)
    sizes = [smaller + (shard < larger) for shard in range(shards)]  # as tensor_split, quicker backwards
    return torch.cat([forward(module, part) for part in x.split(sizes)])
