"""The contract of this room: a probe is a cheap predictor fitted on features, with the recipe around it.

Read this first, then any sibling. Each probe is a pure function over arrays, the settings it takes as a
frozen dataclass, and a thin ``Probe`` that joins them.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from ..core.features import Features
from ..core.registry import Registry
from ..core.results import Score


class Settings(Protocol):
    """A frozen dataclass: the configuration, its repr, its provenance and its equality test."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records."""


class Probe(Protocol):
    """Fits on one split, selects on a second, scores on a third."""

    @property
    def settings_type(self) -> type:
        """The class of its settings."""

    def score(self, splits: Mapping[str, Features], settings: Any, *, seed: int) -> Score:
        """What the features of one layer are worth.

        Args:
            splits: ``train``, ``test`` and, where the data set has it, ``val``; same layer and classes.
            settings: an instance of ``settings_type``.
            seed: of every draw.
        """


PROBES: Registry[Probe] = Registry("protocol")
