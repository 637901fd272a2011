"""The probe ``semantic``: how well features predict targets that are measured on the images, or given with rows."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..core.results import Score
from ..probes.builtin import LEVELS, SemanticSettings
from ..probes.probe import Probe, ProbeContext

if TYPE_CHECKING:
    from .layer_features import LayerFeatures
    from .semantic import ImageSemanticProtocol


class SemanticProtocol(Probe[SemanticSettings]):
    """Mean score of all targets of a level.

    Without images, the targets are those that come with the features. With images, they are measured on them,
    and each score is reported with two baselines: see ``protocols/semantic.py``.
    """

    settings_type = SemanticSettings
    lists: ClassVar[Mapping[str, tuple[Any, ...]]] = {"level": LEVELS}
    batched = True

    def needs_images(self, settings: SemanticSettings) -> bool:
        """Return True: baselines and tasks of transformed images run networks."""
        return True

    def definition(self) -> str:
        """Return a digest of the versions of all targets and tasks."""
        from .semantic_tasks import definitions_digest

        return definitions_digest()

    def for_source(self, source: "LayerFeatures", requested: Sequence[SemanticSettings]) -> "ImageSemanticProtocol":
        """Return the probe that measures its targets on the images, for all requested levels together."""
        from .semantic import ImageSemanticProtocol

        return ImageSemanticProtocol(source, tuple(dict.fromkeys(one.level for one in requested)))

    def score(self, context: ProbeContext, settings: SemanticSettings) -> Score:
        """Score how well the features of one layer predict their ``targets``; constant targets are listed."""
        from ..probes.semantic import summary, target_scores

        started = time.perf_counter()
        scores, constant = target_scores(context.splits, settings.grid, seed=context.seed)
        return summary(scores, constant, seed=context.seed, seconds=time.perf_counter() - started)


PROBE = SemanticProtocol()
