"""The interface of analyses, which describe the representations of models without fitting a predictor for a task."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.registry import Registry
from ...core.results import Result
from ...core.settings import Settings

if TYPE_CHECKING:
    from ..layer_features import LayerFeatures


class Analysis(ABC):
    """An analysis of features, which leaves records.

    Attributes:
        settings_type: class of the settings; None if there are none.
        classified: subject of the error for images with several labels, such as ``class separation``; empty if the
            analysis does not need one class per image.
        compares_models: all models are analysed together, not each on its own.
        needs_images: the network is run on images, beyond the cached features.
    """

    settings_type: ClassVar[type[Settings] | None] = None
    classified: ClassVar[str] = ""
    compares_models: ClassVar[bool] = False
    needs_images: ClassVar[bool] = False

    @abstractmethod
    def records(self, models: "Sequence[LayerFeatures]", settings: Any, *, force: bool = False) -> Iterator[Result]:
        """Yield the records of models on one data set; stored ones are reused.

        Args:
            models: one model; all models if the analysis compares them.
            settings: an instance of ``settings_type``, or None.
            force: compute results again that are stored already.

        Raises: DataError: after all other records, if some could not be made.
        """


ANALYSES: Registry[Analysis] = Registry(
    "analysis",
    group="transferkit.analyses",
    builtin={
        "cka": "transferkit.protocols.analyses.similarity:ANALYSIS",
        "separation": "transferkit.protocols.analyses.separation:ANALYSIS",
        "transferability": "transferkit.protocols.analyses.transferability:ANALYSIS",
        "robustness": "transferkit.protocols.analyses.robustness:ANALYSIS",
    },
)
