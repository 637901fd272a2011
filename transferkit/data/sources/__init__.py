"""Data sets for pretraining at any path: ``imagenet:PATH`` and ``miniimagenet:PATH``."""

from . import imagenet, miniimagenet  # noqa: F401  (each registers itself)
