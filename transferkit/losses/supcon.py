"""Supervised contrastive learning: images of a class are each other's positives.

``supcon`` is the study's form, with a momentum encoder and a queue of labelled keys; ``supcon-batch`` is
the "out" form of Khosla et al. [1], within the batch. Two details differ from the study's code. It divides
the sum over an anchor's positives by their number + 1e-5; here it is their number. And it counts an anchor
without positives as a loss of 0; here it is left out of the mean. In training there is none, since an
anchor's own second view is always among the candidates.

[1] Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, equation 2.
"""

import torch
from torch import Tensor

from ..core.errors import ShapeError
from .collectives import gathered_with_gradient
from .loss import LOSSES, BatchInputs, BatchTerm, QueueInputs, QueueTerm, only, similarities
from .queue import Bank


def supcon_queue_loss(queries: Tensor, labels: Tensor, bank: Bank, *, temperature: float) -> Tensor:
    """Mean over queries of the mean, over the bank's keys of the same class, of ``−log softmax(q·bank/T)``.

    Args:
        queries: ``[n, p]``, rows of unit length.
        labels: ``[n]``; a negative label is the same as no other.
        bank: of ``K`` places, among them the keys of these very images.
        temperature: above 0.

    Returns: a scalar; 0 if no query has a positive.
    """
    logits = only(similarities(queries, bank.keys, temperature=temperature), bank.filled)  # [n, K]
    return _mean_over_positives(logits, _same_class(labels, bank.labels) & bank.filled)


def supcon_loss(embeddings: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Mean over anchors of the mean, over the other rows of the same class, of ``−log softmax`` [1].

    The softmax runs over all rows but the anchor's own.

    Args:
        embeddings: ``[n, p]``, rows of unit length, all views of all images.
        labels: ``[n]``; a negative label is the same as no other.
        temperature: above 0.

    Returns: a scalar; 0 if no two rows share a class.
    Raises: ShapeError: if ``n`` is below 2.
    """
    if len(embeddings) < 2:
        raise ShapeError(f"SupCon compares rows of a batch: {len(embeddings)} is too few, give 2 or more.")
    another = ~torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    logits = only(similarities(embeddings, embeddings, temperature=temperature), another)  # [n, n]
    return _mean_over_positives(logits, _same_class(labels, labels) & another)


def _same_class(labels: Tensor, others: Tensor) -> Tensor:
    """``[n]`` and ``[m]`` give ``[n, m]``."""
    return (labels[:, None] == others) & (labels >= 0)[:, None]


def _mean_over_positives(logits: Tensor, positive: Tensor) -> Tensor:
    """``−log softmax`` of the logits, averaged over each row's positives, then over the rows that have any.

    Args:
        logits: ``[n, m]``.
        positive: ``[n, m]`` bool.
    """
    count = positive.sum(1)  # [n]
    mean_positive = torch.where(positive, logits, 0.0).sum(1) / count.clamp(min=1)
    per_anchor = torch.where(count > 0, logits.logsumexp(1) - mean_positive, 0.0)
    return per_anchor.sum() / (count > 0).sum().clamp(min=1)


def _with_own_keys_queued(inputs: QueueInputs) -> Tensor:
    return supcon_queue_loss(inputs.queries, inputs.labels, inputs.after, temperature=inputs.temperature)


def _within_whole_batch(inputs: BatchInputs) -> Tensor:
    """Every process computes the loss of the whole batch; the gradient is that of its own images."""
    embeddings = gathered_with_gradient(torch.cat(inputs.outputs), inputs.collectives)
    labels = inputs.collectives.gather(inputs.labels.repeat(len(inputs.outputs)))
    return supcon_loss(embeddings, labels, temperature=inputs.temperature)


LOSSES.register("supcon")(QueueTerm(_with_own_keys_queued, labels=True))
LOSSES.register("supcon-batch")(BatchTerm(_within_whole_batch, head="projection", views=2, labels=True))
