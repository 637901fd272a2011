"""The interface of probes. A probe is a cheap predictor that is fitted on features.

Read this file first. A *protocol* is a probe with its recipe: which split it is fitted on, which selects its
hyperparameters, and which is scored. ``--protocol`` and the records name protocols. Each one consists of a pure
function over arrays, a frozen dataclass of settings, and a thin class derived from ``Probe`` that connects them and
declares what it needs. Evaluation, studies and help read these declarations instead of testing for a name. The
protocol ``semantic`` is in ``transferkit/protocols``, because it also runs networks.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from ..core.errors import UsageError
from ..core.features import Features
from ..core.registry import Registry
from ..core.results import Score
from ..core.settings import Settings


class FeatureSource(Protocol):
    """The network and images behind cached features, for probes that need features of further views."""

    def augmented(self, features: Mapping[str, Features], views: int) -> Mapping[str, Features]:
        """Return the features with those of ``views`` augmented views of the training rows."""


@dataclass(frozen=True)
class ProbeContext:
    """Features of one layer, and what else a probe may use.

    Attributes:
        splits: ``train``, ``test`` and, if the data set has it, ``val``; same layer and classes.
        seed: seed of all random draws.
        episodes: folder in which drawn episodes are stored for reuse; None keeps them in memory.
        source: network and images of the features; None if there are only features, as in the Python API.
    """

    splits: Mapping[str, Features]
    seed: int = 0
    episodes: Path | None = None
    source: FeatureSource | None = None

    def with_views(self, views: int) -> Mapping[str, Features]:
        """Return the splits with features of ``views`` augmented views of the training rows; 0 adds none.

        Splits that come with augmented views, in any number, are returned unchanged.

        Raises: UsageError: if there are no images to augment.
        """
        if not views or any(part.augmented for part in self.splits.values()):
            return self.splits
        if self.source is None:
            raise UsageError(
                f"views={views} needs images, but probe() has only features: leave it out, or use "
                "transferkit probe --views."
            )
        return self.source.augmented(self.splits, views)


S = TypeVar("S", bound=Settings)


class Probe(ABC, Generic[S]):
    """A probe with its recipe. In general, it fits on ``train``, selects on ``val`` and scores ``test``.

    Attributes:
        settings_type: class of the settings.
        lists: setting → its default values, for settings that take several values, each with a result of its own;
            an empty tuple means the one default of the settings.
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

    def made_comparable(self, requested: Sequence[S]) -> Sequence[S]:
        """Return the settings, adjusted so that results of settings that are evaluated together can be compared."""
        return requested

    def definition(self) -> str:
        """Return a digest of what else determines the scores, such as versions of targets; empty by default."""
        return ""

    def for_source(self, source: Any, requested: Sequence[S]) -> "Probe[S]":
        """Return the probe for one encoder and data set; a probe that keeps nothing between layers returns itself.

        Args:
            source: a ``transferkit.protocols.layer_features.LayerFeatures``.
            requested: all settings that will be evaluated on them.
        """
        return self

    def prepare(self, requests: Sequence[tuple[str, S]]) -> None:
        """Do the work that several pairs of a layer and settings share, before any of them is scored."""

    def record_settings(self, settings: S) -> dict[str, Any]:
        """Return the settings for the record; results of other values are other results."""
        return settings.to_json()

    @abstractmethod
    def score(self, context: ProbeContext, settings: S) -> Score:
        """Score the features of one layer.

        Raises: DataError: if they cannot be scored.
        """


PROBES: Registry[Probe[Any]] = Registry(
    "protocol",
    group="transferkit.probes",
    builtin={
        "linear": "transferkit.probes.builtin:LINEAR",
        "knn": "transferkit.probes.builtin:KNN",
        "fewshot": "transferkit.probes.builtin:FEWSHOT",
        "semantic": "transferkit.protocols.semantic_probe:PROBE",
    },
)
