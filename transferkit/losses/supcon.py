"""Supervised contrastive learning: images of the same class are positives of each other.

``supcon`` is the study's variant, with a momentum encoder and a queue of labelled keys; ``supcon-batch`` is
the "out" variant of Khosla et al. [1], within the batch. Two details differ from the study's code: it divides
the sum over an anchor's positives by their number + 1e-5, while this module divides by their number; and it
counts an anchor without positives as a loss of 0, while this module leaves it out of the mean. In training
there is no such anchor, because an anchor's own second view is always among the candidates.

[1] Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, equation 2.
"""

import torch
from torch import Tensor

from ..core.errors import ShapeError
from .collectives import gathered_with_gradient
from .loss import LOSSES, BatchInputs, BatchTerm, QueueInputs, QueueTerm, masked_logits, similarities
from .queue import Bank


def supcon_queue_loss(queries: Tensor, labels: Tensor, bank: Bank, *, temperature: float) -> Tensor:
    """Return the mean over queries of the mean of ``−log softmax(q·bank/T)`` over keys of the same class.

    Args:
        queries: ``[n, p]`` queries ``q``, rows of unit length.
        labels: ``[n]``; a negative label equals no label.
        bank: ``K`` keys, which include the keys of the same images.
        temperature: ``T``, above 0.

    Returns: a scalar; 0 if no query has a positive.
    """
    logits = masked_logits(similarities(queries, bank.keys, temperature=temperature), bank.filled)  # [n, K]
    return _mean_over_positives(logits, _same_class(labels, bank.labels) & bank.filled)


def supcon_loss(embeddings: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Return the mean over anchors of the mean of ``−log softmax`` over other rows of the same class [1].

    The softmax is over all rows except the anchor.

    Args:
        embeddings: ``[n, p]``, rows of unit length, all views of all images.
        labels: ``[n]``; a negative label equals no label.
        temperature: above 0.

    Returns: a scalar; 0 if no two rows share a class.
    Raises: ShapeError: if ``n`` is below 2.
    """
    if len(embeddings) < 2:
        raise ShapeError(f"SupCon compares rows of a batch: {len(embeddings)} is too few, give 2 or more.")
    not_self = ~torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    logits = masked_logits(similarities(embeddings, embeddings, temperature=temperature), not_self)  # [n, n]
    return _mean_over_positives(logits, _same_class(labels, labels) & not_self)


def _same_class(labels: Tensor, key_labels: Tensor) -> Tensor:
    """Return ``[n, m]``, true for equal known classes, from labels ``[n]`` and ``[m]``."""
    return (labels[:, None] == key_labels) & (labels >= 0)[:, None]


def _mean_over_positives(logits: Tensor, positive: Tensor) -> Tensor:
    """Average ``−log softmax`` of the logits over each row's positives, then over the rows with positives.

    Args:
        logits: ``[n, m]``.
        positive: ``[n, m]`` bool, true for positives.
    """
    count = positive.sum(1)  # number of positives [n]
    mean_positive = torch.where(positive, logits, 0.0).sum(1) / count.clamp(min=1)  # mean logit of positives [n]
    per_anchor = torch.where(count > 0, logits.logsumexp(1) - mean_positive, 0.0)  # [n]
    return per_anchor.sum() / (count > 0).sum().clamp(min=1)


def _queue_supcon(inputs: QueueInputs) -> Tensor:
    return supcon_queue_loss(inputs.queries, inputs.labels, inputs.after, temperature=inputs.temperature)


def _batch_supcon(inputs: BatchInputs) -> Tensor:
    """Compute the loss of the batch of all processes, with the gradient of this process's images."""
    embeddings = gathered_with_gradient(torch.cat(inputs.outputs), inputs.collectives)
    labels = inputs.collectives.gather(inputs.labels.repeat(len(inputs.outputs)))
    return supcon_loss(embeddings, labels, temperature=inputs.temperature)


LOSSES.register("supcon")(QueueTerm(_queue_supcon, labels=True))
LOSSES.register("supcon-batch")(BatchTerm(_batch_supcon, head="projection", views=2, labels=True))
