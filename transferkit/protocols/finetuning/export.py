"""Export of a fine-tuned network to the workspace, as a run with its preprocessing and classifier."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...core.errors import UnknownNameError
from ...core.results import Cell
from ...data.dataset import Dataset
from ...models.backbone import Backbone, backbone_of
from ...models.catalog import load_encoder
from ...models.encoder import Encoder
from ...models.runs import Description, Run
from ...training.checkpoints import save_tensors
from .network import FinetuneNetwork


def run_of(cell: Cell, runs: Path) -> Run:
    """Return the run that stores the network of a record, ``run:finetuned-DATA-DIGEST``.

    Args:
        cell: cell of the record.
        runs: folder of runs in the workspace.
    """
    data = re.sub(r"[^A-Za-z0-9._+-]+", "-", cell.data.rpartition("/")[2])[:60]
    return Run.named(f"finetuned-{data}-{cell.digest[:12]}", runs)


def keep_network(network: FinetuneNetwork, encoder: Encoder, run: Run, dataset: Dataset) -> None:
    """Write a network and its classifier to its run, and the classifier also to a separate file.

    Batch normalisation before the classifier is folded into the classifier, because the networks of libraries
    have no such layer. The features of ``run:NAME`` times ``weight`` plus ``bias`` of ``head.safetensors``
    are the logits that were scored; ``models export`` writes the whole network.

    Args:
        network: the fine-tuned network.
        encoder: the encoder before fine-tuning, at its input size.
        run: the run to write; existing files are replaced.
        dataset: the data set of fine-tuning.
    """
    classifier = network.classifier()
    trained_on = (*encoder.trained_on, dataset.spec)
    weights = _with_classifier_name(network.backbone, encoder).weights(classifier)
    save_tensors(run.newest, weights, {}, trained_on=trained_on)
    save_tensors(run.folder / "head.safetensors", classifier.state_dict(), {})
    source = f"{encoder.spec}, fine-tuned on {dataset.spec}"
    run.describe(
        Description(encoder.architecture, encoder.preprocessing, source, dataset.classes, trained_on=trained_on)
    )


def _with_classifier_name(backbone: Backbone, encoder: Encoder) -> Backbone:
    """Return the backbone with the classifier's name in the library's network; most encoders are loaded without."""
    if backbone.classifier:
        return backbone
    with suppress(UnknownNameError):  # no library builds the network
        built = backbone_of(load_encoder(f"random:{encoder.architecture}"))
        return replace(backbone, classifier=built.classifier)
    return backbone
