"""Cross-entropy of a linear classifier that sits on the encoder's features.

Alone, the study's cross-entropy is trained on random resized crops and flips, without colour jitter,
grayscale and blur. In a sum with a contrastive term it sees the first of that term's two views, which have
all of them.
"""

import torch.nn.functional as F
from torch import Tensor

from .loss import LOSSES, BatchInputs, BatchTerm, at_least_float32


def ce_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of ``−log softmax(logits)[label]`` over the rows.

    Args:
        logits: ``[n, c]``; float16 and bfloat16 are raised to float32 first.
        labels: ``[n]`` integers in ``0 … c-1``.
    """
    return F.cross_entropy(at_least_float32(logits), labels)


def _of_first_view(inputs: BatchInputs) -> Tensor:
    return ce_loss(inputs.outputs[0], inputs.labels)


LOSSES.register("ce")(BatchTerm(_of_first_view, head="classifier", views=1, labels=True, strong_augmentation=False))
