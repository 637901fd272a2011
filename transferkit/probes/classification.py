"""What the probes that classify a test split have in common: how splits are used, how they are scored."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..core.features import Features, concatenate, require_finite
from ..core.results import Score
from ..core.seeding import generator
from ..core.splitting import stratified_split
from ..core.statistics import wilson_interval
from .accuracy import mean_per_class_accuracy, ranks
from .calibration import expected_calibration_error, negative_log_likelihood

VALIDATION = 0.2
"""Of train, where the data set has no ``val`` [1].

[1] Kornblith et al., Do better ImageNet models transfer better?, CVPR 2019.
"""


def train_and_test(splits: Mapping[str, Features]) -> tuple[Features, Features]:
    """What fits, ``train`` together with ``val`` where there is one; and what scores, ``test``.

    Raises:
        DataError: if ``train`` or ``test`` is missing or has no readable row.
        NonFiniteError: if a feature is NaN or infinite.
    """
    for name in ("train", "test"):
        if name not in splits or not len(splits[name]):
            there = ", ".join(f"{name} ({len(part)} rows)" for name, part in splits.items())
            raise DataError(f"This protocol needs rows of train and of test, but there is only: {there}.")
    for name, part in splits.items():
        require_finite(part.x, what=f"{part.data} {name}, layer {part.layer}", ids=part.ids)
    if len({part.classes for part in splits.values()}) > 1:
        raise DataError("The splits number their classes differently: give all of them the same class names.")
    fitting = [splits["train"], *([splits["val"]] if "val" in splits else [])]
    return concatenate(fitting, split="+".join(part.split for part in fitting)), splits["test"]


def selection(splits: Mapping[str, Features], *, seed: int) -> tuple[Features, Features, str]:
    """Rows to fit candidates on, rows to choose between them, and the name of the latter.

    These are ``train`` and ``val``; without ``val``, a seeded and stratified fifth of train is held out.

    Raises: DataError: if no row is left to choose on.
    """
    train = splits["train"]
    if "val" in splits and len(splits["val"]):
        return train, splits["val"], "val"
    rng = generator(seed, "validation")
    kept, held = stratified_split(train.labels, (1 - VALIDATION, VALIDATION), rng=rng)
    if not len(held):
        raise DataError(
            f"The {len(train)} rows of train leave none to choose hyper-parameters on: "
            "every class has one row only. Ask for a single candidate, so that nothing is chosen."
        )
    return train.rows(kept), train.rows(held), f"{VALIDATION:.0%} of train"


def classification_score(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    selected_on: str,
    chosen: Mapping[str, Any],
    also: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> Score:
    """Top-1 accuracy on ``test`` with Wilson's interval, and what else is commonly reported.

    Args:
        probabilities: ``[n, c]``, rows sum to 1.
        labels: ``[n]``.
        selected_on: as in ``Score``, like the following.
        chosen: the hyper-parameters that selection arrived at.
        also: what the probe has to add to the metrics.
        seconds: ``fit`` and ``score``.
    """
    rank = ranks(probabilities, labels)
    correct, n = int((rank == 0).sum()), len(labels)
    metrics = {
        "mean_per_class": mean_per_class_accuracy(probabilities, labels),
        "nll": negative_log_likelihood(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
    }
    if probabilities.shape[1] > 5:
        metrics["top5"] = float((rank < 5).mean())
    return Score(
        metric="top1",
        value=correct / n,
        interval=wilson_interval(correct, n),
        n=n,
        selected_on=selected_on,
        evaluated_on="test",
        chosen=chosen,
        also={**metrics, **also},
        seconds=seconds,
    )
