"""Transferability scores: how well a model will do on a data set, guessed without training on it."""

from . import bhattacharyya, hscore, leep, logme, transrate  # noqa: F401, importing a score registers it
from .score import SCORES

__all__ = ["SCORES"]
