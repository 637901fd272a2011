"""The whole chain on embedded data and weights: one real network, its untrained twin, and bare pixels."""

from dataclasses import dataclass

from ..core.results import Results
from .evaluate import Evaluator, question
from .place import Place
from .settings import ExtractSettings

PENALTIES = 12  # of the linear probes: enough to find the peak, quicker than the 45 of a study
MODELS = ("imagenet-lite0", "random:tf_efficientnet_lite0", "pixels")
DATASETS = ("mini",)


@dataclass(frozen=True)
class Demo:
    """What the demo measured.

    Attributes:
        by_depth: linear probes of every stage of every model.
        at_last: the same linear probes at the last layer only.
        neighbours: k-NN at the last layer.
        fewshot: 5-way 5-shot at the last layer.
    """

    by_depth: Results
    at_last: Results
    neighbours: Results
    fewshot: Results

    @property
    def results(self) -> Results:
        """All records, each once."""
        return Results([*self.by_depth, *self.neighbours, *self.fewshot])


def run_demo(place: Place) -> Demo:
    """Extract five layers of three models over twelve data sets, and probe them three ways."""
    stages = Evaluator(place, ExtractSettings(layers=("stages",)))
    last = Evaluator(place, ExtractSettings(layers=("last",)))
    by_depth = stages.run(MODELS, DATASETS, [question("linear", penalties=PENALTIES)])
    rest = last.run(MODELS, DATASETS, [question("knn"), question("fewshot", shots=5)])
    return Demo(
        by_depth=by_depth,
        at_last=_last_layers(by_depth),
        neighbours=Results(r for r in rest if r.protocol == "knn"),
        fewshot=Results(r for r in rest if r.protocol == "fewshot"),
    )


def _last_layers(results: Results) -> Results:
    """Of every model and data set the record of the deepest layer; records come in order of depth."""
    return Results({(r.model, r.data): r for r in results}.values())
