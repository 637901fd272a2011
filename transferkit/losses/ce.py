"""Cross-entropy of a linear classifier on the encoder's features.

The study trains cross-entropy alone on random resized crops and flips, without colour jitter, grayscale and
blur. In a sum with a contrastive term, cross-entropy uses the first of that term's two views, which have all
of these augmentations.
"""

import torch.nn.functional as F
from torch import Tensor

from .loss import LOSSES, BatchInputs, BatchTerm, at_least_float32


def ce_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of ``−log softmax(logits)[label]`` over rows.

    Args:
        logits: ``[n, c]``; float16 and bfloat16 are converted to float32.
        labels: ``[n]`` integers in ``0 … c-1``.
    """
    return F.cross_entropy(at_least_float32(logits), labels)


def _first_view_loss(inputs: BatchInputs) -> Tensor:
    return ce_loss(inputs.outputs[0], inputs.labels)


LOSSES.register("ce")(BatchTerm(_first_view_loss, head="classifier", views=1, labels=True, strong_augmentation=False))
