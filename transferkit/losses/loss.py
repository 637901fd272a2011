"""The contract of this room: a loss is a pure function over embeddings, and a term that says what it needs.

Read this first, then any sibling. A new objective is one new file: the function, a term registered in
``LOSSES``, and its name in the room's table of contents.

Shapes: ``b`` images of this process, ``p`` projected features, ``c`` classes, ``K`` places in the queue.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..core.registry import Registry
from .collectives import Collectives
from .heads import HeadKind
from .queue import Bank

UNLABELLED = -1
"""The label of an image, or a key, whose class nobody knows: the same as no other, not even as itself."""


@dataclass(frozen=True, eq=False)
class BatchInputs:
    """What a term sees that is computed from the batch alone.

    Attributes:
        outputs: of the term's own head, one ``[b, c]`` or ``[b, p]`` for each view it asked for.
        labels: ``[b]``.
        temperature: of the softmax.
        collectives: the other processes of the job.
    """

    outputs: tuple[Tensor, ...]
    labels: Tensor
    temperature: float
    collectives: Collectives


@dataclass(frozen=True, eq=False)
class QueueInputs:
    """What a term sees that compares queries with the keys of a momentum encoder.

    Attributes:
        queries: ``[b, p]``, projections of the first view, rows of unit length.
        keys: ``[b, p]``, momentum projections of the second view, rows of unit length, no gradient.
        labels: ``[b]``.
        before: the queue as it was before this batch's keys entered, ``K`` places.
        after: the queue with this batch's keys of all processes, ``K`` places.
        temperature: of the softmax.
    """

    queries: Tensor
    keys: Tensor
    labels: Tensor
    before: Bank
    after: Bank
    temperature: float


@dataclass(frozen=True)
class BatchTerm:
    """A loss of the batch alone.

    Attributes:
        loss: a scalar, the mean over this process's images, so that averaged gradients are the whole batch's.
        head: what stands between the encoder and the loss.
        views: how many views of each image it sees, all with gradient.
        labels: whether every image must have a class.
        strong_augmentation: whether the study trains it, alone, on views with colour jitter, grayscale and
            blur, besides a random crop and a flip.
    """

    loss: Callable[[BatchInputs], Tensor]
    head: HeadKind
    views: Literal[1, 2]
    labels: bool
    strong_augmentation: bool = True


@dataclass(frozen=True)
class QueueTerm:
    """A loss that holds the first view's query against the second view's momentum key and a queue of them.

    Attributes:
        loss: a scalar, the mean over this process's images.
        labels: whether every image must have a class.
    """

    loss: Callable[[QueueInputs], Tensor]
    labels: bool
    head: ClassVar[HeadKind] = "projection"
    views: ClassVar[Literal[2]] = 2
    strong_augmentation: ClassVar[bool] = True


Term = BatchTerm | QueueTerm

LOSSES: Registry[Term] = Registry("loss")


def similarities(a: Tensor, b: Tensor, *, temperature: float) -> Tensor:
    """``a · b / temperature`` for every pair of rows: ``[n, d]`` and ``[m, d]`` give ``[n, m]``.

    At least float32, under autocast too: at a temperature of 0.07 the steps of bfloat16 near a
    similarity of 1 are 0.06 of a logit.
    """
    with torch.autocast(a.device.type, enabled=False):
        return at_least_float32(a) @ at_least_float32(b).T / temperature


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` itself, or in float32 where it is float16 or bfloat16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def only(logits: Tensor, kept: Tensor) -> Tensor:
    """``logits`` where ``kept``; elsewhere −∞, to which a softmax gives nothing."""
    return logits.masked_fill(~kept, -torch.inf)
