"""A digest of a network's weights, which identifies the features that were computed with them."""

import hashlib
from itertools import chain

import torch
from torch import Tensor, nn


def weights_digest(module: nn.Module) -> str:
    """Return the hex SHA-256, 64 characters, over names, shapes, types and bytes of all parameters and buffers.

    It is independent of the device, the memory format and the order of registration.
    """
    digest = hashlib.sha256()
    tensors = dict(chain(module.named_parameters(), module.named_buffers()))
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\x1f{list(tensor.shape)}\x1f{tensor.dtype}\x1e".encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return row-major bytes of any type, including types that NumPy does not support."""
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().data
