"""What an encoder is pretrained for: one objective a file, the queue, and the weighted sum."""

from . import ce, selfsupcon, supcon

__all__ = ["ce", "selfsupcon", "supcon"]
