"""Protocol of probes: a probe is a cheap predictor that is fitted on features, with its evaluation recipe.

Read this file first. Each probe consists of a pure function over arrays, a frozen dataclass of settings, and a
thin ``Probe`` that connects them.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from ..core.features import Features
from ..core.registry import Registry
from ..core.results import Score


class Settings(Protocol):
    """Settings of a probe, a frozen dataclass."""

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values, for records."""


class Probe(Protocol):
    """A probe fits on one split, selects on a second and scores on a third."""

    @property
    def settings_type(self) -> type:
        """Class of the settings."""

    def score(self, splits: Mapping[str, Features], settings: Any, *, seed: int) -> Score:
        """Score the features of one layer.

        Args:
            splits: ``train``, ``test`` and, if the data set has it, ``val``; same layer and classes.
            settings: an instance of ``settings_type``.
            seed: seed of all random draws.
        """


PROBES: Registry[Probe] = Registry("protocol", group="transferkit.probes")
