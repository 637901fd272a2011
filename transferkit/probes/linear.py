"""Linear evaluation: logistic regression on frozen features, its penalty chosen on validation rows [1].

[1] Kornblith et al., Do better ImageNet models transfer better?, CVPR 2019: 45 penalties log-spaced from
    1e-6 to 1e5, not divided by the number of rows; refitted on train + val.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import UsageError
from ..core.features import Features
from ..core.results import Score
from .classification import classification_score, selection, train_and_test
from .logistic import LogisticPath, logistic_path
from .probe import PROBES

Normalize = Literal["none", "l2", "standardize"]


@dataclass(frozen=True)
class LinearSettings:
    """How the linear probe is fitted.

    Attributes:
        penalties: how many L2 penalties are tried, log-spaced; with one, nothing is chosen.
        penalty_min: the weakest penalty, 1/C in scikit-learn's terms; with one penalty, it is this one.
        penalty_max: the strongest penalty.
        normalize: what is done to features first: ``none``, ``l2`` (rows to unit length) or
            ``standardize`` (columns to mean 0 and deviation 1 over the fitted rows).
    """

    penalties: int = 45
    penalty_min: float = 1e-6
    penalty_max: float = 1e5
    normalize: Normalize = "none"

    def __post_init__(self) -> None:
        if self.penalties < 1:
            raise UsageError(f"--penalties {self.penalties} is too few: give 1 or more.")
        if not 0 < self.penalty_min <= self.penalty_max < float("inf"):
            raise UsageError(
                f"Penalties from {self.penalty_min:g} to {self.penalty_max:g} are no range above 0: "
                "--penalty-min must be above 0 and at most --penalty-max."
            )
        if self.normalize not in ("none", "l2", "standardize"):
            raise UsageError(
                f"--normalize {self.normalize!r} is unknown. Choose from: none, l2, standardize."
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records."""
        return asdict(self)

    @property
    def grid(self) -> list[float]:
        """The penalties, ascending."""
        return np.geomspace(self.penalty_min, self.penalty_max, self.penalties).tolist()


class LinearProbe:
    """The penalty that is most accurate on validation rows, refitted on train + val, scored on ``test``."""

    settings_type = LinearSettings

    def score(self, splits: Mapping[str, Features], settings: LinearSettings, *, seed: int) -> Score:
        """What the features of one layer are worth; whether fits converged stands in ``also``."""
        started = time.perf_counter()
        fitting, test = train_and_test(splits)
        chosen, selected_on, unconverged = _choose(splits, settings, seed)
        fit = _fit(fitting, [chosen], settings)
        fitted = time.perf_counter()
        probabilities = _probabilities(fit, _inputs(test, fitting, settings))[0]
        return classification_score(
            probabilities,
            test.labels,
            selected_on=selected_on,
            chosen={
                "penalty": chosen,
                "C": 1 / chosen,
                "at_edge": len(settings.grid) > 1 and chosen in (settings.grid[0], settings.grid[-1]),
            },
            also={
                "iterations": int(fit.iterations[0]),
                "gradient": float(fit.gradients[0]),
                "unconverged": unconverged + int((~fit.converged).sum()),
            },
            seconds={"fit": fitted - started, "score": time.perf_counter() - fitted},
        )


PROBES.register("linear")(LinearProbe())


def _choose(splits: Mapping[str, Features], settings: LinearSettings, seed: int) -> tuple[float, str, int]:
    """The penalty most accurate on validation rows, the strongest of equals; the split; failed fits."""
    penalties = settings.grid[::-1]
    if len(penalties) == 1:
        return penalties[0], "none", 0
    train, held, name = selection(splits, seed=seed)
    path = _fit(train, penalties, settings)
    accuracy = (_probabilities(path, _inputs(held, train, settings)).argmax(2) == held.labels).mean(axis=1)
    return penalties[int(accuracy.argmax())], name, int((~path.converged).sum())


def _fit(rows: Features, penalties: list[float], settings: LinearSettings) -> LogisticPath:
    x = _inputs(rows, rows, settings)
    return logistic_path(x, torch.from_numpy(rows.labels), penalties, len(rows.classes))


def _probabilities(path: LogisticPath, x: Tensor) -> NDArray[np.float32]:
    """``[p, n, c]``."""
    logits = (x @ weights + biases for weights, biases in zip(path.weights, path.biases, strict=True))
    return torch.stack([each.softmax(1) for each in logits]).numpy()


def _inputs(rows: Features, fitted: Features, settings: LinearSettings) -> Tensor:
    """``[n, d]`` float32, normalised as the settings say, by what ``fitted`` rows are like."""
    x = torch.from_numpy(rows.x).float()
    if settings.normalize == "l2":
        return torch.nn.functional.normalize(x)
    if settings.normalize == "standardize":
        deviation, mean = torch.std_mean(torch.from_numpy(fitted.x).double(), 0, correction=0)
        scale = torch.where(deviation > 0, deviation, 1)  # a constant column says nothing either way
        return ((x - mean) / scale).float()
    return x
