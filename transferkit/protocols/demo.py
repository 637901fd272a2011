"""The demo: pretraining and probing on embedded data, with two trained networks, one from ImageNet, two baselines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..core.results import Result, Results
from .context import RunContext
from .evaluate import EvalRequest, Evaluator, eval_request
from .pretraining.pretrain import pretrain
from .pretraining.settings import PretrainSettings
from .settings import ExtractSettings

PENALTIES = 8  # number of penalties of the linear probes: faster than the 45 of a study, and enough for the peak
PRETRAINED = PretrainSettings(epochs=4, warmup_epochs=1, eval_every=0)  # the preset mini, shortened
LOSSES = ("ce", "joint")
DATASETS = ("mini",)
UNTRAINED = PRETRAINED.model  # untrained baseline, at the input size of the trained networks
MODELS = (*(f"run:demo-{loss}" for loss in LOSSES), "pixels")  # models at their own input size
INPUT_SIZES = {"imagenet-lite0": 128, UNTRAINED: PRETRAINED.test_crop}  # pixels; 128 is twice the images' size


@dataclass(frozen=True)
class Demo:
    """Results of the demo.

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
        """All records, each one once."""
        return Results([*self.by_depth, *self.neighbours, *self.fewshot])


def run_demo(context: RunContext) -> Demo:
    """Pretrain two encoders, then probe the stages of five models over twelve data sets, three ways."""
    for loss in LOSSES:
        pretrain(replace(PRETRAINED, loss=loss), context=context, name=f"demo-{loss}")
    by_depth = Results(_evaluate(context, "stages", [eval_request("linear", penalties=PENALTIES)]))
    rest = list(_evaluate(context, "last", [eval_request("knn"), eval_request("fewshot", shots=5)]))
    return Demo(
        by_depth=by_depth,
        at_last=_last_layers(by_depth),
        neighbours=Results(r for r in rest if r.protocol == "knn"),
        fewshot=Results(r for r in rest if r.protocol == "fewshot"),
    )


def _evaluate(context: RunContext, layers: str, requests: Sequence[EvalRequest]) -> Iterator[Result]:
    """Yield the results of every model, at its input size, on every data set."""
    for model, size in INPUT_SIZES.items():
        extraction = ExtractSettings(layers=(layers,), size=size)
        yield from Evaluator(context, extraction).run([model], DATASETS, requests)
    yield from Evaluator(context, ExtractSettings(layers=(layers,))).run(MODELS, DATASETS, requests)


def _last_layers(results: Results) -> Results:
    """Return the record of the deepest layer per model and data set; ``results`` are in order of depth."""
    return Results({(r.model, r.data): r for r in results}.values())
