"""Transferability scores, which predict the accuracy of a model on a data set without training on it."""

from . import bhattacharyya, hscore, leep, logme, transrate  # noqa: F401, importing a score registers it
from .score import SCORES

__all__ = ["SCORES"]
