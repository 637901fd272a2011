"""Probes: cheap predictors that are fitted on features, and their metrics."""

from . import fewshot, knn, linear  # noqa: F401, importing a probe registers it
from .probe import PROBES

__all__ = ["PROBES"]
