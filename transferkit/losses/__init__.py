"""Pretraining losses: one objective per file, the key queue, and the weighted sum of losses."""

from . import ce, selfsupcon, supcon

__all__ = ["ce", "selfsupcon", "supcon"]
