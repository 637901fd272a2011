"""Linear evaluation: logistic regression on frozen features, with a penalty selected on validation rows [1].

[1] Kornblith et al., Do better ImageNet models transfer better?, CVPR 2019: 45 penalties log-spaced from
    1e-6 to 1e5, not divided by the number of rows; refitted on train + val. VOC2007, whose images have
    several labels, is evaluated by 11-point mean average precision.

Multi-label rows are fitted one-vs-rest, with one penalty for all classes, as in Ericsson et al. [2];
``logistic.py`` describes how difficult rows are treated.

[2] Ericsson, Gouk and Hospedales, How well do self-supervised models transfer?, CVPR 2021.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.devices import choose_compute
from ..core.errors import DataError
from ..core.features import Features
from ..core.labels import is_multilabel, require_one_label
from ..core.out_of_core import Matrix
from ..core.results import Score
from .builtin import LinearSettings, SelectBy
from .classification import (
    Selection,
    classification_score,
    require_two_classes,
    selection,
    train_and_test,
)
from .probe import ProbeContext
from .ranking import mean_average_precision, ranking_score, require_shown
from .sgd import sgd_score
from .solvers.logistic import LogisticPath, fitted_classes, logistic_path, one_vs_rest_path
from .solvers.normalizing import Normalize, Normalizer, normalized, normalizer, pieces_of

MAX_LOGITS = 2**24
"""Number of logits of all penalties in memory at once (64 MiB)."""


def linear_score(context: ProbeContext, settings: LinearSettings) -> Score:
    """Select the penalty on validation rows, refit on train + val, and score ``test``.

    ``extra_metrics`` reports whether the fits converged.

    For multi-label rows, mean average precision selects the penalty and is the score.

    Raises: DataError: for multi-label rows, if the solver is SGD, or no row has a class.
    """
    splits, seed = context.splits, context.seed
    if settings.solver == "sgd":
        _require_one_label(splits)
        splits = context.with_views(settings.views)
        return sgd_score(splits, lambda rows, fitted: _whole(rows, fitted, settings), seed=seed)
    started = time.perf_counter()
    fitting, test = train_and_test(splits)
    require_two_classes(fitting)
    choice, unconverged = _select_penalty(splits, settings, seed)
    model = FittedPath.fit(fitting, [choice.chosen["penalty"]], settings.normalize)
    fit = model.path
    fitted = time.perf_counter()
    extra_metrics: dict[str, Any] = {
        "iterations": int(fit.iterations[0]),
        "gradient": float(fit.gradients[0]),
        "unconverged": unconverged + int((~fit.converged).sum()),
    }
    if is_multilabel(test.labels):
        extra_metrics["not_fitted"] = _not_fitted(fitting)
        scores = model.all_logits(test.x)[0]
    else:
        scores = model.probabilities(test.x)
    seconds = {"fit": fitted - started, "score": time.perf_counter() - fitted}
    if is_multilabel(test.labels):
        return ranking_score(scores, test, choice, seed=seed, extra_metrics=extra_metrics, seconds=seconds)
    return classification_score(scores, test, choice, extra_metrics=extra_metrics, seconds=seconds)


def _select_penalty(splits: Mapping[str, Features], settings: LinearSettings, seed: int) -> tuple[Selection, int]:
    """Return the penalty that is best on validation rows, the strongest in a tie, and how many fits failed."""
    penalties = settings.grid[::-1]
    if len(penalties) == 1:
        return Selection(chosen=_chosen(0, penalties)), 0
    train, held, name = selection(splits, seed=seed)
    model = FittedPath.fit(train, penalties, settings.normalize)
    unconverged = int((~model.path.converged).sum())
    if is_multilabel(held.labels):
        if settings.select_by != "top1":
            raise DataError(
                f"{held.data} has several labels per image, and --select-by {settings.select_by} needs one. "
                "Leave it out: mean average precision selects the penalty there."
            )
        require_shown(held, single="--penalties 1")
        scores = model.all_logits(held.x)
        means = np.array([mean_average_precision(one, held.labels) for one in scores], np.float64)
        best = int(means.argmax())
        return Selection(name, _chosen(best, penalties)), unconverged
    hits = torch.zeros(len(penalties), len(held.classes), dtype=torch.int64)  # correct predictions per class [p, c]
    start = 0
    for logits in model.logits(held.x):
        labels = torch.from_numpy(held.labels[start : start + logits.shape[1]])
        hits.index_add_(1, labels, (logits.argmax(2).cpu() == labels).long())
        start += logits.shape[1]
    best = _best(hits, held.labels, settings.select_by)
    held_probabilities = model.probabilities(held.x, best)
    choice = Selection(name, _chosen(best, penalties), (held_probabilities, held.labels))
    return choice, unconverged


def _best(hits: Tensor, labels: NDArray[np.integer], select_by: SelectBy) -> int:
    """Return the index of the best penalty, the first in a tie.

    Args:
        hits: ``[p, c]``, correct predictions of each penalty per class.
        labels: ``[m]``, labels of the predicted rows; a class without rows is ignored.
        select_by: accuracy over all rows, or mean of the accuracies per class.
    """
    if select_by == "top1":
        return int(hits.sum(1).argmax())
    rows = torch.from_numpy(np.bincount(labels, minlength=hits.shape[1]))  # rows per class [c]
    return int((hits[:, rows > 0].double() / rows[rows > 0]).mean(1).argmax())


def _chosen(index: int, penalties: list[float]) -> dict[str, Any]:
    at_edge = len(penalties) > 1 and index in (0, len(penalties) - 1)
    return {"penalty": penalties[index], "C": 1 / penalties[index], "at_edge": at_edge}


@dataclass(frozen=True, eq=False)
class FittedPath:
    """Logistic regressions of ``p`` penalties, with the normalisation of the rows that they were fitted to.

    Attributes:
        path: weights and biases of normalised rows.
        normalise: function from raw to normalised rows.
    """

    path: LogisticPath
    normalise: Normalizer

    @classmethod
    def fit(cls, rows: Features, penalties: list[float], normalize: Normalize) -> "FittedPath":
        """Fit the penalties, on a GPU if there is one; rows with several labels are fitted one-vs-rest."""
        normalise = normalizer(rows.x, normalize)
        x, labels = normalized(rows.x, normalise), torch.from_numpy(rows.labels).to(choose_compute().device)
        if is_multilabel(rows.labels):
            return cls(one_vs_rest_path(x, labels, penalties), normalise)
        return cls(logistic_path(x, labels, penalties, len(rows.classes)), normalise)

    def logits(self, x: Matrix, penalties: slice = slice(None)) -> Iterator[Tensor]:
        """Iterate over the logits ``[p, m, c]`` of chunks of the rows ``x`` ``[n, d]``, for some or all penalties."""
        weights, biases = self.path.weights[penalties], self.path.biases[penalties]
        most = max(1, MAX_LOGITS // biases.numel())
        for rows in pieces_of(x, self.normalise, weights.device, most):
            yield rows @ weights + biases[:, None]

    def all_logits(self, x: Matrix) -> NDArray[np.float32]:
        """Return the logits ``[p, n, c]`` of all rows."""
        return torch.cat([logits.cpu() for logits in self.logits(x)], 1).numpy()

    def probabilities(self, x: Matrix, penalty: int = 0) -> NDArray[np.float32]:
        """Return the probabilities ``[n, c]`` of one penalty, given by its index."""
        one = slice(penalty, penalty + 1)
        return np.concatenate([logits[0].softmax(1).cpu().numpy() for logits in self.logits(x, one)])


def _not_fitted(fitting: Features) -> list[str]:
    """Return the classes that no row or every row has, and that are therefore not fitted."""
    fitted = set(fitted_classes(torch.from_numpy(fitting.labels)).tolist())
    return [name for label, name in enumerate(fitting.classes) if label not in fitted]


def _require_one_label(splits: Mapping[str, Features]) -> None:
    """Refuse multi-label rows.

    Raises: DataError: if a split is multi-label; the message names the solver to use.
    """
    for part in splits.values():
        require_one_label(part.labels, data=part.data, what="--solver sgd", instead="Use --solver lbfgs.")


def _whole(rows: Features, fitted: Features, settings: LinearSettings) -> Tensor:
    """Return all rows ``[n, d]`` in float32, normalised with the statistics of ``fitted``."""
    return normalizer(fitted.x, settings.normalize)(torch.from_numpy(np.asarray(rows.x)))
