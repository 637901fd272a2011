"""The whole chain on embedded data and weights: two networks trained here, one from ImageNet, two floors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..core.results import Result, Results
from .context import RunContext
from .evaluate import EvalRequest, Evaluator, question
from .pretraining.pretrain import pretrain
from .pretraining.settings import PretrainSettings
from .settings import ExtractSettings

PENALTIES = 8  # of the linear probes: enough to find the peak, quicker than the 45 of a study
PRETRAINED = PretrainSettings(epochs=4, warmup=1, eval_every=0)  # the preset mini, shortened
LOSSES = ("ce", "joint")
DATASETS = ("mini",)
FLOOR = PRETRAINED.model  # untrained, it is shown what the trained ones are shown
MODELS = (*(f"run:demo-{loss}" for loss in LOSSES), "pixels")  # shown images of the size they are made for
SHOWN = {"imagenet-lite0": 128, FLOOR: PRETRAINED.test_crop}  # pixels: twice what the images hold is plenty


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


def run_demo(context: RunContext) -> Demo:
    """Pretrain two encoders, then probe the stages of five models over twelve data sets, three ways."""
    for loss in LOSSES:
        pretrain(replace(PRETRAINED, loss=loss), context=context, name=f"demo-{loss}")
    by_depth = Results(_asked(context, "stages", [question("linear", penalties=PENALTIES)]))
    rest = list(_asked(context, "last", [question("knn"), question("fewshot", shots=5)]))
    return Demo(
        by_depth=by_depth,
        at_last=_last_layers(by_depth),
        neighbours=Results(r for r in rest if r.protocol == "knn"),
        fewshot=Results(r for r in rest if r.protocol == "fewshot"),
    )


def _asked(context: RunContext, layers: str, questions: Sequence[EvalRequest]) -> Iterator[Result]:
    """The answers for every model and data set, each model shown what suits it."""
    for model, size in SHOWN.items():
        shown = ExtractSettings(layers=(layers,), size=size)
        yield from Evaluator(context, shown).run([model], DATASETS, questions)
    yield from Evaluator(context, ExtractSettings(layers=(layers,))).run(MODELS, DATASETS, questions)


def _last_layers(results: Results) -> Results:
    """Of every model and data set the record of the deepest layer; records come in order of depth."""
    return Results({(r.model, r.data): r for r in results}.values())
