"""Detection sets: images with boxes. ``boxed`` defines the data structures, ``opening`` opens a spec."""

from . import coco, voc  # noqa: F401  (register themselves)
from .boxed import DETECTION
from .opening import open_detection

__all__ = ["DETECTION", "open_detection"]
