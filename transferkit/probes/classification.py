"""Common parts of the probes that classify a test split: the use of the splits, and the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..core.features import Features, concatenate, require_finite
from ..core.groups import require_disjoint_groups
from ..core.labels import is_multilabel, stratify_labels
from ..core.outcomes import row_outcomes
from ..core.proportions import accuracy_interval, class_mean_interval
from ..core.results import Score
from ..core.seeding import generator
from ..core.splitting import stratified_split
from .accuracy import mean_per_class_accuracy, ranks
from .calibration import calibration, fitted_temperature, tempered

VAL_FRACTION = 0.2
"""Fraction of train that is held out for selection if the data set has no ``val`` [1].

[1] Kornblith et al., Do better ImageNet models transfer better?, CVPR 2019.
"""


@dataclass(frozen=True)
class Temperature:
    """Temperature that was fitted to held-out predictions; None if they do not determine one."""

    value: float | None


@dataclass(frozen=True, eq=False)
class Selection:
    """Selected hyperparameters, and the predictions for the rows that selected them.

    Attributes:
        selected_on: name of the split, or ``none`` if there was no selection.
        chosen: selected hyperparameters.
        held: probabilities ``[h, c]`` of the selected candidate, fitted on other rows, for the rows of
            ``selected_on``, and their labels ``[h]``; or the temperature that was fitted to them; None without
            selection or calibration.
    """

    selected_on: str = "none"
    chosen: Mapping[str, Any] = field(default_factory=dict)
    held: tuple[NDArray[np.floating], NDArray[np.integer]] | Temperature | None = None


def train_and_test(splits: Mapping[str, Features]) -> tuple[Features, Features]:
    """Return the training rows, ``train`` and, if there is one, ``val``; and the rows to score, ``test``.

    Raises:
        DataError: if ``train`` or ``test`` is missing or has no readable row, or two splits share a group.
        NonFiniteError: if a feature is NaN or infinite.
    """
    for name in ("train", "test"):
        if name not in splits or not len(splits[name]):
            present = ", ".join(f"{name} ({len(part)} rows)" for name, part in splits.items())
            raise DataError(
                f"This protocol needs rows of train and of test, but there is only: {present}. Add the missing split."
            )
    for name, part in splits.items():
        require_finite(part.x, what=f"{part.data} {name}, layer {part.layer}", ids=part.ids)
    if len({part.classes for part in splits.values()}) > 1:
        raise DataError("The splits number their classes differently: give all of them the same class names.")
    if len({is_multilabel(part.labels) for part in splits.values()}) > 1:
        raise DataError("Some splits have one label per row and some have several: give all of them the same form.")
    require_disjoint_groups({name: part.groups for name, part in splits.items()}, data=splits["test"].data)
    fitting = [splits["train"], *([splits["val"]] if "val" in splits else [])]
    return concatenate(fitting, split="+".join(part.split for part in fitting)), splits["test"]


def require_two_classes(fitting: Features) -> None:
    """Refuse training rows that are all of one class; multi-label rows are accepted.

    Raises: DataError: if they are; the message names the class.
    """
    if is_multilabel(fitting.labels):
        return
    found = np.unique(fitting.labels)
    if len(found) < 2:
        raise DataError(
            f"All {len(fitting)} rows of {fitting.data} {fitting.split} are of the class "
            f"{fitting.classes[found[0]]!r}: a probe needs at least two. Add rows of another class, or "
            "choose another data set."
        )


def selection(splits: Mapping[str, Features], *, seed: int) -> tuple[Features, Features, str]:
    """Return rows to fit candidates, rows to select one of them, and the name of the latter.

    These are ``train`` and ``val``; without ``val``, a seeded and stratified fifth of train is held out, without
    stratification for multi-label rows. Rows of one group are held out together.

    Raises: DataError: if no row is left for the selection.
    """
    train = splits["train"]
    if "val" in splits and len(splits["val"]):
        return train, splits["val"], "val"
    rng = generator(seed, "validation")
    kept, held = stratified_split(
        stratify_labels(train.labels), (1 - VAL_FRACTION, VAL_FRACTION), rng=rng, groups=train.groups
    )
    if not len(held):
        raise DataError(
            f"The {len(train)} rows of train leave none to select hyperparameters: every class has only one "
            f"{'row' if train.groups is None else 'group'}. Use a single candidate (--penalties 1, "
            "or one --k), which needs no selection, or add rows or a val split."
        )
    return train.rows(kept), train.rows(held), f"{VAL_FRACTION:.0%} of train"


def classification_score(
    probabilities: NDArray[np.floating],
    test: Features,
    choice: Selection,
    *,
    extra_metrics: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> Score:
    """Compute top-1 accuracy on ``test`` with Wilson's interval, and other common metrics.

    If rows are in groups, such as several images of one patient, intervals are over groups.

    Args:
        probabilities: ``[n, c]``, rows sum to 1.
        test: the ``n`` scored rows.
        choice: selected hyperparameters and the predictions of the selection.
        extra_metrics: additional metrics of the probe.
        seconds: durations ``fit`` and ``score``.
    """
    labels = test.labels
    rank = ranks(probabilities, labels)
    correct = rank == 0
    calibrated = calibration_record(probabilities, labels, choice)
    spread = class_mean_interval(correct, labels, test.groups)
    metrics = {
        "mean_per_class": mean_per_class_accuracy(probabilities, labels),
        "mean_per_class_interval": spread.limits,
        "nll": calibrated["before"]["nll"],
        "ece": calibrated["before"]["ece"],
        "calibration": calibrated,
    }
    if probabilities.shape[1] > 5:
        metrics["top5"] = float((rank < 5).mean())
    return Score(
        metric="top1",
        value=float(correct.mean()),
        interval=accuracy_interval(correct, test.groups),
        n=len(labels),
        selected_on=choice.selected_on,
        evaluated_on="test",
        chosen=choice.chosen,
        extra_metrics={**metrics, **extra_metrics},
        seconds=seconds,
        outcomes=row_outcomes(test.ids, correct, groups=test.groups),
    )


def calibration_record(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], choice: Selection
) -> dict[str, Any]:
    """Return the calibration of the probabilities ``before`` and ``after`` temperature scaling.

    The ``temperature`` is fitted to predictions for the rows of the selection, by the candidate that was fitted
    without them: never to the scored rows. Without such rows, or if they do not determine a temperature, it is
    None and there is no ``after``.

    Args:
        probabilities: ``[n, c]``, of the scored rows.
        labels: ``[n]``.
        choice: predictions to which the temperature is fitted, or the fitted temperature.
    """
    record: dict[str, Any] = {"before": calibration(probabilities, labels), "temperature": None}
    if choice.held is None:
        return record
    held = choice.held
    temperature = held.value if isinstance(held, Temperature) else fitted_temperature(*held)
    record |= {"temperature": temperature, "fitted_on": choice.selected_on}
    if temperature is not None:
        record["after"] = calibration(tempered(probabilities, temperature), labels)
    return record
