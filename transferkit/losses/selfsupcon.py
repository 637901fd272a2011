"""Self-supervised contrastive learning with a queue: MoCo's InfoNCE [1].

[1] He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .loss import LOSSES, QueueInputs, QueueTerm, at_least_float32, only, similarities
from .queue import Bank


def info_nce(queries: Tensor, keys: Tensor, bank: Bank, *, temperature: float) -> Tensor:
    """How hard it is to find each query's own key among all keys of the bank [1].

    The mean over queries of ``−log( e^(q·k⁺/T) / (e^(q·k⁺/T) + Σ_bank e^(q·k/T)) )``. With an empty bank
    there is nothing to confuse the key with, and the loss is 0.

    Args:
        queries: ``[n, p]``, rows of unit length.
        keys: ``[n, p]``, the key of each query, rows of unit length.
        bank: of ``K`` places; its labels are not looked at.
        temperature: above 0.
    """
    with torch.autocast(queries.device.type, enabled=False):
        own = (at_least_float32(queries) * at_least_float32(keys)).sum(1, keepdim=True) / temperature
    others = only(similarities(queries, bank.keys, temperature=temperature), bank.filled)  # [n, K]
    first = torch.zeros(len(queries), dtype=torch.long, device=queries.device)
    return F.cross_entropy(torch.cat([own, others], 1), first)


def _against_older_keys(inputs: QueueInputs) -> Tensor:
    return info_nce(inputs.queries, inputs.keys, inputs.before, temperature=inputs.temperature)


LOSSES.register("selfsupcon")(QueueTerm(_against_older_keys, labels=False))
