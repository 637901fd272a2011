"""Write docs/datasets.md: what the embedded sets are, and what two linear probes make of them.

Run: python docs/build_datasets.py (three minutes on two cores the first time, seconds when repeated).
"""

from pathlib import Path

from transferkit.core.progress import reporter_for
from transferkit.core.results import Results
from transferkit.core.workspace import Workspace
from transferkit.data.catalog import open_dataset
from transferkit.data.dataset import Dataset
from transferkit.data.mini import DOWNSTREAM, SOURCE
from transferkit.protocols.evaluate import Evaluator, question
from transferkit.protocols.place import Place
from transferkit.protocols.settings import ExtractSettings

PAGE = Path(__file__).with_name("datasets.md")
MODELS = ("pixels", "imagenet-lite0")

INTRODUCTION = """# Data sets

Built by `python docs/build_datasets.py`; do not edit.

`--data` takes `folder:PATH` (one sub-folder a class; `train`, `val` and `test` in it are used when they
exist, else a seeded, stratified 60/20/20 split is made), the name of an embedded set, or `mini` for the
twelve downstream sets together.

## The embedded suite

64×64 RGB, rendered on first use and kept in the data folder (`$TRANSFERKIT_DATA`, else `data` in the
workspace). Two sets a domain, as in the study. Real photographs are cut into patches such that train,
val and test come from disjoint regions; what is drawn keeps its factors. `mini/objects` is the source
set that pretraining starts from; its class is the shape, and colour, texture, size, position, rotation,
background and light vary freely.

How hard the sets are was tuned with `imagenet-lite0` in view, so the table describes the sets and is no
unbiased result about that network. All of `mini/tissue` comes from two photographs, and its labels from a
rule on their colours: patches of train and test share no pixel, but they share the specimen.

Top-1 of a linear probe at the last layer, penalty chosen on val, scored on test, 95 % intervals. *Way*
is how far `pixels` gets from chance to 1.

| set | domain | classes | train / val / test | chance | pixels | way | imagenet-lite0 |
|---|---|---|---|---|---|---|---|
"""


def row(dataset: Dataset, results: Results) -> str:
    """One line of the table."""
    score = {r.model: r for r in results if r.data == dataset.spec}
    chance = 1 / len(dataset.classes)
    way = (score["pixels"].value - chance) / (1 - chance)
    cells = [f"{score[m].value:.3f} ({score[m].ci_low:.2f}–{score[m].ci_high:.2f})" for m in MODELS]
    return (
        f"| `{dataset.spec}` | {dataset.domain} | {len(dataset.classes)} | {counts(dataset)} | "
        f"{chance:.3f} | {cells[0]} | {max(0.0, way):.0%} | {cells[1]} |\n"
    )


def counts(dataset: Dataset) -> str:
    """Images of train, val and test."""
    return " / ".join(str(len(split)) for split in dataset.splits.values())


def about(dataset: Dataset) -> str:
    """Classes, factors, source and licence of one set."""
    factors = ", ".join(f"`{name}`" for name in next(iter(dataset.splits.values())).factors)
    return (
        f"### `{dataset.spec}`\n\n{counts(dataset)} images. Classes: {', '.join(dataset.classes)}.\n\n"
        f"Source: {dataset.source}. Licence: {dataset.licence}.\n\n"
        + (f"Recorded factors: {factors}.\n\n" if factors else "")
    )


def main() -> None:
    """Probe, and write the page."""
    workspace = Workspace.at()
    place = Place(workspace, reporter=reporter_for(quiet=False))
    results = Evaluator(place, ExtractSettings()).run(MODELS, ("mini",), [question("linear")])
    datasets = [open_dataset(name, root=workspace.data) for name in (*DOWNSTREAM, SOURCE)]
    means = {m: sum(r.value for r in results if r.model == m) / len(DOWNSTREAM) for m in MODELS}
    table = "".join(row(dataset, results) for dataset in datasets[:-1])
    mean = f"| mean | | | | | {means['pixels']:.3f} | | {means['imagenet-lite0']:.3f} |\n\n"
    PAGE.write_text(INTRODUCTION + table + mean + "".join(map(about, datasets)).rstrip() + "\n", "utf-8")


if __name__ == "__main__":
    main()
