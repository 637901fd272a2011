"""What the processes of one training job tell each other, without knowing how."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def _itself(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Collectives:
    """The place of this process among all; by default it is alone.

    Attributes:
        rank: which one it is.
        world_size: how many there are.
        gather: ``[b, …]`` of this process to ``[world_size·b, …]`` of all, in the order of the ranks, without
            gradient; called by all at the same time with the same shape.
    """

    rank: int = 0
    world_size: int = 1
    gather: Callable[[Tensor], Tensor] = _itself

    def own(self, everyone: Tensor) -> Tensor:
        """The rows of this process among those of all."""
        return everyone.chunk(self.world_size)[self.rank]


ALONE = Collectives()


def gathered_with_gradient(x: Tensor, collectives: Collectives) -> Tensor:
    """The rows of all processes, with the gradient of this one's own times the number of processes.

    For a loss of the whole batch that every process computes alike: data-parallel training *averages* the
    gradients of the processes, and here they must be *summed*.
    """
    own = x.detach() + collectives.world_size * (x - x.detach())  # the value of x, its gradient multiplied
    parts = list(collectives.gather(x.detach()).chunk(collectives.world_size))
    parts[collectives.rank] = own
    return torch.cat(parts)


def interleaving(n: int, parts: int, *, device: torch.device | None = None) -> Tensor:
    """An order ``[n]`` of ``0 … n-1`` whose ``parts`` stretches each draw evenly from the whole range.

    >>> interleaving(8, 2).tolist()
    [0, 2, 4, 6, 1, 3, 5, 7]
    """
    return (torch.arange(n, device=device) % parts).argsort(stable=True)
