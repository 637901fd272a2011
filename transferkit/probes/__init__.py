"""Probes: cheap predictors fitted on features, and the numbers that judge them."""

from . import fewshot, knn, linear, semantic  # noqa: F401, importing a probe registers it
from .probe import PROBES

__all__ = ["PROBES"]
