"""A digest of a network's weights, so that features of other weights are never taken for its own."""

import hashlib
from itertools import chain

import torch
from torch import Tensor, nn


def weights_digest(module: nn.Module) -> str:
    """Hex SHA-256 over names, shapes, types and bytes of all parameters and buffers, 64 characters.

    The same on every device and in every memory format; the order of registration does not count.
    """
    digest = hashlib.sha256()
    tensors = dict(chain(module.named_parameters(), module.named_buffers()))
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\x1f{list(tensor.shape)}\x1f{tensor.dtype}\x1e".encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def _bytes_of(tensor: Tensor) -> memoryview:
    """Row-major bytes of any type, also of those NumPy does not know."""
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().data
