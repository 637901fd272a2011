"""A fine-tuned network that is kept: a run of the workspace, seen and classified as it was scored."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...core.errors import UnknownNameError
from ...core.results import Cell
from ...data.dataset import Dataset
from ...models.backbone import Backbone, trunk_of
from ...models.catalog import load_encoder
from ...models.encoder import Encoder
from ...models.runs import Description, Run
from ..pretraining.checkpoint import save_tensors
from .network import FinetuneNetwork


def run_of(cell: Cell, runs: Path) -> Run:
    """Where the network of a record is kept, ``run:finetuned-DATA-DIGEST``.

    Args:
        cell: of the record.
        runs: the workspace's folder of runs.
    """
    data = re.sub(r"[^A-Za-z0-9._+-]+", "-", cell.data.rpartition("/")[2])[:60]
    return Run.named(f"finetuned-{data}-{cell.digest[:12]}", runs)


def keep_network(network: FinetuneNetwork, encoder: Encoder, run: Run, dataset: Dataset) -> None:
    """Write a network to its run, under its own names and with its classifier; and that beside it alone.

    A batch normalisation before the classifier is folded into it, as no library's network has a place for
    one. Features of ``run:NAME`` times ``weight`` plus ``bias`` of ``head.safetensors`` are the logits that
    were scored, and ``models export`` gives the network as a whole.

    Args:
        network: as it was scored.
        encoder: that it began as, at the size it was shown.
        run: where to; what is there makes way.
        dataset: that it was trained on.
    """
    classifier = network.classifier()
    trained_on = (*encoder.trained_on, dataset.spec)
    weights = _with_place(network.backbone, encoder).weights(classifier)
    save_tensors(run.newest, weights, {}, trained_on=trained_on)
    save_tensors(run.folder / "head.safetensors", classifier.state_dict(), {})
    source = f"{encoder.spec}, fine-tuned on {dataset.spec}"
    run.describe(Description(encoder.architecture, encoder.view, source, dataset.classes, trained_on=trained_on))


def _with_place(backbone: Backbone, encoder: Encoder) -> Backbone:
    """The trunk with the classifier's place in the library's network; most encoders begin without one."""
    if backbone.classifier:
        return backbone
    with suppress(UnknownNameError):  # of a network that no library builds
        built = trunk_of(load_encoder(f"random:{encoder.architecture}"))
        return replace(backbone, classifier=built.classifier)
    return backbone
