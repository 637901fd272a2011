"""Weights in the memory format in which convolutions are fastest."""

from itertools import chain
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def channels_last(module: M) -> M:
    """The module itself, its weights with four axes stored channels last; values stay as they are.

    Weights with five axes, as of 3-D convolutions, have no such format and are left alone.
    """
    for tensor in chain(module.parameters(), module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return module
