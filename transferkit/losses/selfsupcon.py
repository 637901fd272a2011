"""Self-supervised contrastive learning with a queue: MoCo's InfoNCE [1].

[1] He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .loss import LOSSES, QueueInputs, QueueTerm, at_least_float32, masked_logits, similarities
from .queue import Bank


def info_nce(queries: Tensor, keys: Tensor, bank: Bank, *, temperature: float) -> Tensor:
    """Return the InfoNCE loss of classifying each query's own key among all keys of the bank [1].

    The loss is the mean over queries ``q`` of ``−log( e^(q·k⁺/T) / (e^(q·k⁺/T) + Σ_bank e^(q·k/T)) )``, where
    ``k⁺`` is the query's own key and ``T`` the temperature. With an empty bank it is 0.

    Args:
        queries: ``[n, p]``, rows of unit length.
        keys: ``[n, p]``, the key of each query, rows of unit length.
        bank: ``K`` keys of other images; their labels are not used.
        temperature: ``T``, above 0.
    """
    with torch.autocast(queries.device.type, enabled=False):
        positive = (at_least_float32(queries) * at_least_float32(keys)).sum(1, keepdim=True) / temperature  # [n, 1]
    negatives = masked_logits(similarities(queries, bank.keys, temperature=temperature), bank.filled)  # [n, K]
    targets = torch.zeros(len(queries), dtype=torch.long, device=queries.device)  # the positive is column 0
    return F.cross_entropy(torch.cat([positive, negatives], 1), targets)


def _queue_info_nce(inputs: QueueInputs) -> Tensor:
    return info_nce(inputs.queries, inputs.keys, inputs.before, temperature=inputs.temperature)


LOSSES.register("selfsupcon")(QueueTerm(_queue_info_nce, labels=False))
