"""Detect networks that were trained on the data set of their evaluation, and mark their records."""

from collections.abc import Sequence
from dataclasses import replace

from ..core.progress import Reporter
from ..core.results import TRAINED_ON, Score
from ..data.budgets import split_spec
from ..data.published import PUBLISHED
from ..models.encoder import Encoder

_SAME_IMAGES = {"voc0712": "voc2007"}
"""Published data set → the data set whose images it includes."""


def seen_source(trained_on: Sequence[str], data: str) -> str:
    """Return the data set among ``trained_on`` that contains the images of ``data``, or an empty string.

    Budgets (``eurosat@shots=5``) and options (``dtd:3``) of a data set count as the data set.

    Args:
        trained_on: specs of the data sets that a network was trained on.
        data: spec of the data set that it is evaluated on.

    >>> seen_source(["mini/objects", "dtd@shots=5"], "dtd:3")
    'dtd@shots=5'
    """
    wanted = _images(data)
    return next((source for source in trained_on if _images(source) == wanted), "")


def note_trained_on(encoder: Encoder, data: str, reporter: Reporter) -> None:
    """Print a note if ``encoder`` was trained on ``data``."""
    if source := seen_source(encoder.trained_on, data):
        reporter.note(
            f"{encoder.spec} was trained on {source}: its scores on {data} do not measure transfer. "
            "It was trained on images of train and val, and few-shot episodes draw from all images; "
            "records and tables are marked."
        )


def with_source(score: Score, trained_on: Sequence[str], data: str) -> Score:
    """Return the score, with ``extra_metrics.trained_on`` if the network was trained on ``data``."""
    source = seen_source(trained_on, data)
    return replace(score, extra_metrics={**score.extra_metrics, TRAINED_ON: source}) if source else score


def _images(spec: str) -> str:
    """Return a name that is equal for specs of the same images."""
    whole = split_spec(spec)[0]
    name = whole.partition(":")[0]
    return _SAME_IMAGES.get(name, name) if name in PUBLISHED or name in _SAME_IMAGES else whole
