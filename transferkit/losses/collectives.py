"""Communication between the processes of a training run, independent of the backend."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def _identity(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Collectives:
    """Rank and communication of this process; by default there is a single process.

    Attributes:
        rank: Rank of this process.
        world_size: Number of processes.
        gather: Function that maps ``[b, …]`` of this process to ``[world_size·b, …]`` of all processes in the
            order of their ranks, without gradient; all processes call it together with the same shape.
    """

    rank: int = 0
    world_size: int = 1
    gather: Callable[[Tensor], Tensor] = _identity

    def own(self, gathered: Tensor) -> Tensor:
        """Return this process's rows of a gathered tensor."""
        return gathered.chunk(self.world_size)[self.rank]


ALONE = Collectives()


def gathered_with_gradient(x: Tensor, collectives: Collectives) -> Tensor:
    """Return the rows of all processes; the gradient of this process's rows is multiplied by their number.

    This is for a loss of the whole batch that every process computes: data-parallel training *averages* the
    gradients of the processes, but they must be *summed* here.
    """
    own = x.detach() + collectives.world_size * (x - x.detach())  # value of x, gradient times world_size
    parts = list(collectives.gather(x.detach()).chunk(collectives.world_size))
    parts[collectives.rank] = own
    return torch.cat(parts)


def interleaving(n: int, parts: int, *, device: torch.device | None = None) -> Tensor:
    """Return a permutation ``[n]`` whose ``parts`` consecutive parts each sample the whole range evenly.

    >>> interleaving(8, 2).tolist()
    [0, 2, 4, 6, 1, 3, 5, 7]
    """
    return (torch.arange(n, device=device) % parts).argsort(stable=True)
