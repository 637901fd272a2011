"""The interface of losses: a pure function of embeddings, and a term that declares the inputs it needs.

Read this file first, then any other file of the package. A new objective is one new file with the function and
a term registered in ``LOSSES``, and its import in the package's ``__init__.py``.

Shapes: ``b`` images of this process, ``p`` projected features, ``c`` classes, ``K`` keys in the queue.
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
"""Label of images and keys of unknown class, which equals no label, not even itself."""


@dataclass(frozen=True, eq=False)
class BatchInputs:
    """Inputs of a term that is computed from the batch alone.

    Attributes:
        outputs: Outputs of the term's head, ``[b, c]`` or ``[b, p]`` for each requested view.
        labels: ``[b]`` labels.
        temperature: Temperature of the softmax.
        collectives: Communication with the other processes.
    """

    outputs: tuple[Tensor, ...]
    labels: Tensor
    temperature: float
    collectives: Collectives


@dataclass(frozen=True, eq=False)
class QueueInputs:
    """Inputs of a term that compares queries with the keys of a momentum encoder.

    Attributes:
        queries: ``[b, p]`` projections of the first view, rows of unit length.
        keys: ``[b, p]`` momentum projections of the second view, rows of unit length, without gradient.
        labels: ``[b]`` labels.
        before: The queue before this batch's keys are added, ``K`` keys.
        after: The queue with this batch's keys of all processes, ``K`` keys.
        temperature: Temperature of the softmax.
    """

    queries: Tensor
    keys: Tensor
    labels: Tensor
    before: Bank
    after: Bank
    temperature: float


@dataclass(frozen=True)
class BatchTerm:
    """A loss that is computed from the batch alone.

    Attributes:
        loss: Function that returns the mean over this process's images, so that the average of the processes'
            gradients is the gradient of the whole batch.
        head: Kind of head between the encoder and the loss.
        views: Number of views per image, all with gradient.
        labels: Whether every image must have a class.
        strong_augmentation: Whether the study trains this loss alone on views with colour jitter, grayscale
            and blur in addition to a random crop and a flip.
    """

    loss: Callable[[BatchInputs], Tensor]
    head: HeadKind
    views: Literal[1, 2]
    labels: bool
    strong_augmentation: bool = True


@dataclass(frozen=True)
class QueueTerm:
    """A loss that compares the first view's query with the second view's momentum key and a queue of keys.

    Attributes:
        loss: Function that returns the mean over this process's images.
        labels: Whether every image must have a class.
    """

    loss: Callable[[QueueInputs], Tensor]
    labels: bool
    head: ClassVar[HeadKind] = "projection"
    views: ClassVar[Literal[2]] = 2
    strong_augmentation: ClassVar[bool] = True


Term = BatchTerm | QueueTerm

LOSSES: Registry[Term] = Registry("loss", group="transferkit.losses")


def similarities(a: Tensor, b: Tensor, *, temperature: float) -> Tensor:
    """Return ``a · b / temperature`` for every pair of rows: ``[n, d]`` and ``[m, d]`` give ``[n, m]``.

    The result has at least float32 precision, even under autocast: at a temperature of 0.07, bfloat16 near a
    similarity of 1 has a resolution of only 0.06 logits.
    """
    with torch.autocast(a.device.type, enabled=False):
        return at_least_float32(a) @ at_least_float32(b).T / temperature


def at_least_float32(x: Tensor) -> Tensor:
    """Return ``x``, converted to float32 if it is float16 or bfloat16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def masked_logits(logits: Tensor, kept: Tensor) -> Tensor:
    """Return ``logits`` where ``kept`` is true and −∞ elsewhere, so that a softmax assigns probability 0."""
    return logits.masked_fill(~kept, -torch.inf)
