"""What the probes that classify a test split have in common: how splits are used, how they are scored."""

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

VALIDATION = 0.2
"""Of train, where the data set has no ``val`` [1].

[1] Kornblith et al., Do better ImageNet models transfer better?, CVPR 2019.
"""


@dataclass(frozen=True)
class Temperature:
    """What held-out answers told when they were at hand; None where they told none."""

    value: float | None


@dataclass(frozen=True, eq=False)
class Choice:
    """What selection arrived at, and how it answered the rows that it was selected on.

    Attributes:
        selected_on: name of the split, or ``none`` when nothing was chosen.
        chosen: the hyper-parameters that selection arrived at.
        held: probabilities ``[h, c]`` that the chosen candidate, fitted on other rows, gives the rows of
            ``selected_on``, and their labels ``[h]``; or the temperature that was fitted to them; None when
            nothing was chosen, or nothing is to be calibrated.
    """

    selected_on: str = "none"
    chosen: Mapping[str, Any] = field(default_factory=dict)
    held: tuple[NDArray[np.floating], NDArray[np.integer]] | Temperature | None = None


def train_and_test(splits: Mapping[str, Features]) -> tuple[Features, Features]:
    """What fits, ``train`` together with ``val`` where there is one; and what scores, ``test``.

    Raises:
        DataError: if ``train`` or ``test`` is missing or has no readable row, or two splits share a group.
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
    if len({is_multilabel(part.labels) for part in splits.values()}) > 1:
        raise DataError("Some splits have one label a row and others several: give all of them the same form.")
    require_disjoint_groups({name: part.groups for name, part in splits.items()}, data=splits["test"].data)
    fitting = [splits["train"], *([splits["val"]] if "val" in splits else [])]
    return concatenate(fitting, split="+".join(part.split for part in fitting)), splits["test"]


def require_two_classes(fitting: Features) -> None:
    """Refuse rows to fit that are all of one class; rows with several labels may be.

    Raises: DataError: naming the class.
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
    """Rows to fit candidates on, rows to choose between them, and the name of the latter.

    These are ``train`` and ``val``; without ``val``, a seeded and stratified fifth of train is held out, by
    chance alone where rows have several labels. Rows of one group are held out together.

    Raises: DataError: if no row is left to choose on.
    """
    train = splits["train"]
    if "val" in splits and len(splits["val"]):
        return train, splits["val"], "val"
    rng = generator(seed, "validation")
    kept, held = stratified_split(
        stratify_labels(train.labels), (1 - VALIDATION, VALIDATION), rng=rng, groups=train.groups
    )
    if not len(held):
        raise DataError(
            f"The {len(train)} rows of train leave none to choose hyper-parameters on: every class has one "
            f"{'row' if train.groups is None else 'group'} only. Ask for a single candidate (--penalties 1, "
            "or one --k), so that nothing is chosen, or add rows or a val split."
        )
    return train.rows(kept), train.rows(held), f"{VALIDATION:.0%} of train"


def classification_score(
    probabilities: NDArray[np.floating],
    test: Features,
    choice: Choice,
    *,
    extra_metrics: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> Score:
    """Top-1 accuracy on ``test`` with Wilson's interval, and what else is commonly reported.

    Where rows come in groups, such as several images of one patient, intervals are over groups.

    Args:
        probabilities: ``[n, c]``, rows sum to 1.
        test: the ``n`` rows that are scored.
        choice: how the probe that scores them was chosen.
        extra_metrics: what the probe has to add to the metrics.
        seconds: ``fit`` and ``score``.
    """
    labels = test.labels
    rank = ranks(probabilities, labels)
    right = rank == 0
    calibrated = calibration_record(probabilities, labels, choice)
    spread = class_mean_interval(right, labels, test.groups)
    metrics = {
        "mean_per_class": mean_per_class_accuracy(probabilities, labels),
        "mean_per_class_interval": [spread.low, spread.high],
        "nll": calibrated["before"]["nll"],
        "ece": calibrated["before"]["ece"],
        "calibration": calibrated,
    }
    if probabilities.shape[1] > 5:
        metrics["top5"] = float((rank < 5).mean())
    return Score(
        metric="top1",
        value=float(right.mean()),
        interval=accuracy_interval(right, test.groups),
        n=len(labels),
        selected_on=choice.selected_on,
        evaluated_on="test",
        chosen=choice.chosen,
        extra_metrics={**metrics, **extra_metrics},
        seconds=seconds,
        outcomes=row_outcomes(test.ids, right, groups=test.groups),
    )


def calibration_record(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], choice: Choice
) -> dict[str, Any]:
    """How honest the probabilities are ``before`` and ``after`` their temperature is set.

    The ``temperature`` is fitted on the rows that selection used, on the answers of the candidate that was
    fitted without them: never on the rows that are scored. Without such rows, or where they tell no
    temperature, it is None and there is no ``after``.

    Args:
        probabilities: ``[n, c]`` of the rows that are scored.
        labels: ``[n]``.
        choice: with the answers that the temperature is fitted to, or what was fitted.
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
