"""The contract of probes: a probe is a cheap predictor that is fitted on features, with its evaluation recipe.

Read this file first. Each probe consists of a pure function over arrays, a frozen dataclass of settings, and a
thin ``Probe`` that connects them and declares its traits. Everything outside this package (evaluation, studies,
help, reports) reads the traits, and never tests for the name of a probe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from ..core.errors import UsageError
from ..core.features import Features
from ..core.registry import Registry
from ..core.results import Score
from ..core.settings import Settings


class Images(Protocol):
    """The images behind cached features, for probes that need more than one pass over them."""

    def augmented(self, features: Mapping[str, Features], views: int) -> Mapping[str, Features]:
        """Return the features with those of ``views`` augmented views of the training rows."""


@dataclass(frozen=True)
class ProbeContext:
    """Features of one layer, and what else a probe may use.

    Attributes:
        splits: ``train``, ``test`` and, if the data set has it, ``val``; same layer and classes.
        seed: seed of all random draws.
        episodes: folder in which drawn episodes are stored for reuse; None keeps them in memory.
        images: the images behind the features; None if there are only features, as in the Python API.
    """

    splits: Mapping[str, Features]
    seed: int = 0
    episodes: Path | None = None
    images: Images | None = None

    def with_views(self, views: int) -> Mapping[str, Features]:
        """Return the splits with features of ``views`` augmented views of the training rows; 0 adds none.

        Splits that come with augmented views are returned unchanged.

        Raises: UsageError: if there are no images to augment.
        """
        if not views or any(part.augmented for part in self.splits.values()):
            return self.splits
        if self.images is None:
            raise UsageError(
                f"views={views} needs images, but probe() has only features: leave it out, or use "
                "transferkit probe --views."
            )
        return self.images.augmented(self.splits, views)


S = TypeVar("S", bound=Settings)


class Probe(Generic[S]):
    """A probe fits on one split, selects on a second and scores on a third.

    Attributes:
        settings_type: class of the settings.
        lists: setting → its default values, for settings of which several values may be given; each value gives a
            result of its own. No default values mean the default of the settings.
        batched: several settings share work, so that a study evaluates them in one task.
    """

    settings_type: type[S]
    lists: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    batched: ClassVar[bool] = False

    def augmented_views(self, settings: S) -> int:
        """Return the number of augmented views of the training rows that the probe is fitted on."""
        return 0

    def needs_images(self, settings: S) -> bool:
        """Return True if the network is run on images, beyond the cached features."""
        return self.augmented_views(settings) > 0

    def comparable(self, requested: Sequence[S]) -> Sequence[S]:
        """Return settings that are evaluated together, changed where their results would not be comparable."""
        return requested

    def definition(self) -> str:
        """Return a digest of what defines the scores besides settings and features; empty if nothing does."""
        return ""

    def for_images(self, images: Any, requested: Sequence[S]) -> "Probe[S]":
        """Return the probe for one encoder and data set; a probe that keeps nothing between layers returns itself.

        Args:
            images: a ``transferkit.protocols.layer_features.LayerFeatures``.
            requested: all settings that will be evaluated on them.
        """
        return self

    def prepare(self, requests: Sequence[tuple[str, S]]) -> None:
        """Do the work that several pairs of a layer and settings share, before any of them is scored."""

    def recorded(self, settings: S) -> dict[str, Any]:
        """Return the settings for the record; results of other values are other results."""
        return settings.to_json()

    def score(self, context: ProbeContext, settings: S) -> Score:
        """Score the features of one layer.

        Raises: DataError: if they cannot be scored.
        """
        raise NotImplementedError


PROBES: Registry[Probe[Any]] = Registry(
    "protocol",
    group="transferkit.probes",
    builtin={
        "linear": "transferkit.probes.linear:PROBE",
        "knn": "transferkit.probes.knn:PROBE",
        "fewshot": "transferkit.probes.fewshot:PROBE",
        "semantic": "transferkit.protocols.semantic_probe:PROBE",
    },
)
