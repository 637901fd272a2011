"""Whether a network was trained on the data set that it is evaluated on, and how records say so."""

from collections.abc import Sequence
from dataclasses import replace

from ..core.progress import Reporter
from ..core.results import TRAINED_ON, Score
from ..data.budgets import split_spec
from ..data.downstream.published import PUBLISHED
from ..models.encoder import Encoder

_SAME_IMAGES = {"voc0712": "voc2007"}
"""Published set → the set whose images are among its own."""


def seen_source(trained_on: Sequence[str], data: str) -> str:
    """Return the data set among ``trained_on`` that holds the images of ``data``, or an empty string.

    Budgets (``eurosat@shots=5``) and options (``dtd:3``) of a set are parts of it.

    Args:
        trained_on: specs of the data sets that a network was trained on.
        data: spec of the data set that it is evaluated on.

    >>> seen_source(["mini/objects", "dtd@shots=5"], "dtd:3")
    'dtd@shots=5'
    """
    wanted = _images(data)
    return next((source for source in trained_on if _images(source) == wanted), "")


def note_seen(encoder: Encoder, data: str, reporter: Reporter) -> None:
    """Tell the user if ``encoder`` was trained on ``data``."""
    if source := seen_source(encoder.trained_on, data):
        reporter.note(
            f"{encoder.spec} was trained on {source}: its scores on {data} do not measure transfer. "
            "Images of train and val are known to it, and few-shot episodes draw from all images; "
            "records and tables are marked."
        )


def with_source(score: Score, trained_on: Sequence[str], data: str) -> Score:
    """Return the score; if the network was trained on ``data``, its ``extra_metrics.trained_on`` says so."""
    source = seen_source(trained_on, data)
    return replace(score, extra_metrics={**score.extra_metrics, TRAINED_ON: source}) if source else score


def _images(spec: str) -> str:
    """What two specs of the same images have in common."""
    whole = split_spec(spec)[0]
    name = whole.partition(":")[0]
    return _SAME_IMAGES.get(name, name) if name in PUBLISHED or name in _SAME_IMAGES else whole
