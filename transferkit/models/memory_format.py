"""Weights in the memory format in which convolutions are fastest."""

from itertools import chain
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def channels_last(module: M) -> M:
    """Store the weights with four axes channels last, without changing their values, and return the module.

    Weights with five axes, such as those of 3-D convolutions, have no such format and are not changed.
    """
    for tensor in chain(module.parameters(), module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return module
