"""Probes: cheap predictors that are fitted on features, and their metrics."""

from .probe import PROBES

__all__ = ["PROBES"]
