"""The embedded suite: the study in miniature, offline. ``suite`` is the table of contents."""

from .suite import DOWNSTREAM, SOURCE

__all__ = ["DOWNSTREAM", "SOURCE"]
