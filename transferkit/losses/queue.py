"""A ring buffer of the most recent keys and their classes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..core.errors import ShapeError, UsageError


@dataclass(frozen=True, eq=False)
class Bank:
    """The keys of a queue at one moment.

    Attributes:
        keys: ``[K, p]`` keys.
        labels: ``[K]`` their labels.
        filled: ``[K]`` bool, false for slots to which no key has been written yet.
    """

    keys: Tensor
    labels: Tensor
    filled: Tensor

    def part(self, index: int, width: int) -> "Bank":
        """Return the bank with columns ``index·width … (index+1)·width`` of the keys."""
        return Bank(self.keys[:, index * width : (index + 1) * width], self.labels, self.filled)


class LabelledQueue(nn.Module):
    """The last ``size`` keys that were written; the oldest key is overwritten first.

    Losses ignore slots that were never written. The study starts from random unit vectors instead, which belong
    to no image and make the gradients of the first steps depend on the random draw. Once the queue is full, both
    are the same.

    All state is in buffers, and no step synchronises with the device.

    Args:
        size: number ``K`` of keys.
        dim: length of a key.

    Raises: UsageError: if the keys do not fit into memory.
    """

    keys: Tensor
    labels: Tensor
    position: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        try:
            keys = torch.zeros(size, dim)
        except RuntimeError as error:  # raised by the allocator
            raise UsageError(f"A queue of {size} keys does not fit into memory. Give a smaller queue.") from error
        self.register_buffer("keys", keys)
        self.register_buffer("labels", torch.full((size,), -1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))  # index of the next slot
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))  # number of slots that were written

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor) -> None:
        """Write ``keys`` ``[n, dim]`` and ``labels`` ``[n]`` in order, and continue at the start after the end.

        Raises:
            UsageError: if the queue is not larger than the batch.
            ShapeError: if a key has another length.
        """
        (size, dim), n = self.keys.shape, len(keys)
        if keys.shape != (n, dim) or labels.shape != (n,):
            raise ShapeError(
                f"A queue of keys [{dim}] takes keys [n, {dim}] and labels [n], "
                f"not {list(keys.shape)} and {list(labels.shape)}."
            )
        self.require_larger_than(n)
        slots = (self.position + torch.arange(n, device=self.keys.device)) % size
        self.keys[slots] = keys.to(self.keys.dtype)
        self.labels[slots] = labels
        self.position.add_(n).remainder_(size)
        self.filled.add_(n).clamp_(max=size)

    def require_larger_than(self, batch: int) -> None:
        """Check that a batch leaves older keys in the queue.

        Raises: UsageError: if the queue is not larger than a ``batch`` of all processes.
        """
        if batch >= len(self.keys):
            raise UsageError(
                f"A queue of {len(self.keys)} keys cannot take batches of {batch} (all processes together): "
                "it would contain only the batch itself. Make the queue larger or the batch smaller."
            )

    def bank(self) -> Bank:
        """Return a copy, because the next batch overwrites keys that the backward pass still needs."""
        slots = torch.arange(len(self.keys), device=self.keys.device)
        return Bank(self.keys.clone(), self.labels.clone(), slots < self.filled)
