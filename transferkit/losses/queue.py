"""A ring of the most recent keys and their classes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..core.errors import ShapeError, UsageError


@dataclass(frozen=True, eq=False)
class Bank:
    """The keys of a queue at one moment.

    Attributes:
        keys: ``[K, p]``.
        labels: ``[K]``.
        filled: ``[K]`` bool, false where no key has been written yet.
    """

    keys: Tensor
    labels: Tensor
    filled: Tensor

    def part(self, index: int, width: int) -> "Bank":
        """Columns ``index·width … (index+1)·width`` of the keys."""
        return Bank(self.keys[:, index * width : (index + 1) * width], self.labels, self.filled)


class LabelledQueue(nn.Module):
    """The last ``size`` keys that were written, oldest overwritten first.

    Places that were never written take no part in any loss. The study starts from random unit vectors
    instead: keys of no image, which push the first steps in directions that depend on the draw. Once the
    ring has gone round, both are the same.

    All state lies in buffers, and no step waits for the device.

    Args:
        size: places, ``K``.
        dim: length of a key.

    Raises: UsageError: if that many do not fit into memory.
    """

    keys: Tensor
    labels: Tensor
    position: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        try:
            keys = torch.zeros(size, dim)
        except RuntimeError as error:  # what the allocator raises
            raise UsageError(f"A queue of {size} keys does not fit into memory: remember fewer.") from error
        self.register_buffer("keys", keys)
        self.register_buffer("labels", torch.full((size,), -1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))  # the next place to write
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))  # how many were ever written

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor) -> None:
        """Write ``keys`` ``[n, dim]`` and ``labels`` ``[n]`` in order, going round at the end.

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
        places = (self.position + torch.arange(n, device=self.keys.device)) % size
        self.keys[places] = keys.to(self.keys.dtype)
        self.labels[places] = labels
        self.position.add_(n).remainder_(size)
        self.filled.add_(n).clamp_(max=size)

    def require_larger_than(self, batch: int) -> None:
        """Refuse batches that would leave no older keys.

        Raises: UsageError: if the queue has no more places than a ``batch`` of all processes.
        """
        if batch >= len(self.keys):
            raise UsageError(
                f"A queue of {len(self.keys)} keys cannot take batches of {batch} (all processes together): "
                "it would hold nothing but the batch itself. Make the queue larger or the batch smaller."
            )

    def bank(self) -> Bank:
        """A copy: the next batch overwrites the ring, and a backward pass still needs what it held."""
        places = torch.arange(len(self.keys), device=self.keys.device)
        return Bank(self.keys.clone(), self.labels.clone(), places < self.filled)
