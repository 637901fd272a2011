"""Sets to pretrain on that lie wherever their owner put them: ``imagenet:PATH``, ``miniimagenet:PATH``."""

from . import imagenet, miniimagenet  # noqa: F401  (each registers itself)
