"""Probes as scikit-learn classifiers, for pipelines, searches and cross-validation on plain arrays [1].

The computations are those of the other modules: these classes check arrays, encode classes and store fitted
parameters. They follow scikit-learn's conventions and pass its complete ``check_estimator``. Unlike the
protocols, they leave the choice of the splits for selection and evaluation to the caller.

Shapes: ``n`` rows, ``d`` features, ``c`` classes; float16 is converted to float32.

[1] https://scikit-learn.org/stable/developers/develop.html
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ..core.errors import ShapeError, UsageError
from ..core.groups import Groups
from ..core.splitting import stratified_split
from .knn import EPSILON
from .solvers.logistic import logistic_path
from .solvers.neighbours import Metric, neighbours
from .solvers.ridge import ridge_weights

DTYPES = (np.float32, np.float64)

MAX_GATHERED = 2**22
"""Number of feature values of neighbours in memory at once (32 MiB of float64)."""

Floats = NDArray[np.float64]


class _Probe(ClassifierMixin, BaseEstimator, ABC):
    """Base class: checks inputs, encodes classes, and predicts the class with the highest score."""

    classes_: NDArray[Any]

    def _rows(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Return the training rows ``[n, d]`` and labels ``[n]``, which are indices into ``classes_``."""
        x, y = validate_data(self, X, y, dtype=DTYPES)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        return x, labels

    def _queries(self, X: ArrayLike) -> Floats:
        """Return the query rows ``[n, d]`` in float64, after a check of the number of features."""
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=DTYPES).astype(np.float64)

    @abstractmethod
    def _scores(self, X: ArrayLike) -> Floats:
        """Return scores ``[n, c]``; higher is more likely."""

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the class of each row, ``[n]``.

        Args:
            X: ``[n, d]``.
        """
        best = self._scores(X).argmax(1)
        return self.classes_[best]


class _LinearModel(_Probe):
    """Linear classifier with a given penalty, or one that is selected on held-out rows.

    Two classes have one column of weights, for the second class, as in scikit-learn.
    """

    coef_: Floats
    intercept_: Floats
    penalty_: float

    def __init__(
        self, penalty: float | Sequence[float] = 1.0, *, validation: float = 0.2, random_state: Any = 0
    ) -> None:
        self.penalty = penalty
        self.validation = validation
        self.random_state = random_state

    @abstractmethod
    def _path(self, x: Tensor, labels: NDArray[np.int64], penalties: list[float]) -> tuple[Tensor, Tensor]:
        """Fit weights ``[p, d, t]`` and biases ``[p, t]``, with one column for two classes, else one per class."""

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> "_LinearModel":
        """Fit all rows with the given penalty, or the one with the highest accuracy on held-out rows.

        Args:
            X: ``[n, d]``, finite.
            y: ``[n]``, classes.
            groups: ``[n]``, group of each row; rows of one group are held out together.

        Raises:
            UsageError: if there is no penalty, or one not above 0, or ``validation`` not between 0 and 1.
            ShapeError: if there are several penalties and no row is left for the selection, or not ``n`` groups.
        """
        x, labels = self._rows(X, y)
        row_groups = None if groups is None else np.asarray(groups).astype(str).tolist()
        centre = x.mean(0, dtype=np.float64)  # subtracted in the precision of x: the fit may use a lower one
        x = x - centre.astype(x.dtype)
        if not np.size(self.penalty):
            raise UsageError("penalty is empty: give one above 0, or several candidates.")
        penalties = np.sort(np.atleast_1d(np.asarray(self.penalty, dtype=float)).ravel())[::-1].tolist()
        self.penalty_ = self._select(x, labels, penalties, row_groups) if len(penalties) > 1 else penalties[0]
        weights, biases = self._path(torch.from_numpy(x), labels, [self.penalty_])
        self.coef_ = weights[0].T.double().numpy()
        self.intercept_ = biases[0].double().numpy() - self.coef_ @ centre.astype(x.dtype)
        return self

    def _select(
        self, x: NDArray[np.floating], labels: NDArray[np.int64], penalties: list[float], groups: Groups
    ) -> float:
        """Return the penalty with the highest accuracy on held-out rows, the first in a tie."""
        if not 0 < self.validation < 1:
            raise UsageError(f"validation={self.validation:g} is invalid: give a fraction of the rows between 0 and 1.")
        seed = check_random_state(self.random_state).randint(2**31)
        parts = (1 - self.validation, self.validation)
        rng = np.random.Generator(np.random.PCG64(seed))
        kept, held = stratified_split(labels, parts, rng=rng, groups=groups)
        if not len(held):
            unit = "sample" if groups is None else "group"
            raise ShapeError(
                f"Of {len(x)} rows, none is left to select a penalty: every class has only one {unit}. "
                "Give a single penalty, which needs no selection."
            )
        weights, biases = self._path(torch.from_numpy(x[kept]), labels[kept], penalties)
        scores = torch.from_numpy(x[held]).to(weights.dtype) @ weights + biases[:, None]  # [p, n, t]
        predictions = (scores[..., 0] > 0) if len(self.classes_) == 2 else scores.argmax(2)
        return penalties[int((predictions.numpy() == labels[held]).mean(1).argmax())]

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return scores ``[n, c]``; for two classes ``[n]``, above 0 for the second class.

        Args:
            X: ``[n, d]``.
        """
        x = self._queries(X)
        scores = x @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def _scores(self, X: ArrayLike) -> Floats:
        scores = self.decision_function(X)
        if len(self.classes_) == 1:
            return np.ones((len(scores), 1))
        return np.stack([np.zeros_like(scores), scores], 1) if scores.ndim == 1 else scores


class LinearProbe(_LinearModel):
    """L2-regularised multinomial logistic regression, ``LogisticRegression(C=1/penalty)`` of scikit-learn.

    ``logistic_path`` fits it in float32; several penalties are fitted together.

    ::

        probe = LinearProbe(penalty=np.geomspace(1e-6, 1e5, 45)).fit(x, labels)
        probe.penalty_, probe.score(x_test, labels_test)

    Args:
        penalty: L2 penalty, or several candidates: the one with the highest accuracy on held-out rows, in a tie
            the strongest, is refitted on all rows.
        validation: fraction of the rows, stratified by class, that selects one of several penalties.
        random_state: seed of this split.

    Attributes:
        classes_: ``[c]``.
        coef_: ``[c, d]``; ``[1, d]`` for two classes.
        intercept_: ``[c]``; ``[1]`` for two classes.
        penalty_: fitted penalty.
        n_iter_: iterations of the last fit.
        n_features_in_: ``d``.
    """

    n_iter_: int

    def _path(self, x: Tensor, labels: NDArray[np.int64], penalties: list[float]) -> tuple[Tensor, Tensor]:
        path = logistic_path(x, torch.from_numpy(labels), penalties, len(self.classes_))
        self.n_iter_ = int(path.iterations[-1])
        if not path.converged.all():
            failed = int((~path.converged).sum())
            warnings.warn(
                f"{failed} of {len(penalties)} penalties had not converged after "
                f"{int(path.iterations.max())} iterations: standardise the features, or penalise more.",
                ConvergenceWarning,
                stacklevel=3,
            )
        if len(self.classes_) != 2:
            return path.weights, path.biases
        return path.weights.diff(dim=2), path.biases.diff(dim=1)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return class probabilities, ``[n, c]``.

        Args:
            X: ``[n, d]``.
        """
        return softmax(self._scores(X), axis=1)


class RidgeProbe(_LinearModel):
    """Ridge regression to ±1 targets: a classifier in closed form, as in big_vision's few-shot evaluation [2].

    The target of a class is +1 for its rows and −1 for all other rows; the largest prediction wins. This is
    ``RidgeClassifier(alpha=penalty)`` of scikit-learn. Several penalties share one decomposition. Big_vision
    standardises columns first and uses a penalty of 1024: ``make_pipeline(StandardScaler(),
    RidgeProbe(1024))``. There are no probabilities.

    [2] https://github.com/google-research/big_vision, ``evaluators/fewshot_lsr.py``.

    Args:
        penalty: see ``LinearProbe``.
        validation: fraction of the rows, stratified by class, that selects one of several penalties.
        random_state: seed of this split.

    Attributes:
        classes_: ``[c]``.
        coef_: ``[c, d]``; ``[1, d]`` for two classes.
        intercept_: ``[c]``; ``[1]`` for two classes.
        penalty_: fitted penalty.
        n_features_in_: ``d``.
    """

    def _path(self, x: Tensor, labels: NDArray[np.int64], penalties: list[float]) -> tuple[Tensor, Tensor]:
        targets = torch.from_numpy(2.0 * (labels[:, None] == np.arange(len(self.classes_))) - 1)
        return ridge_weights(x, targets[:, 1:] if targets.shape[1] == 2 else targets, penalties)


class KNNProbe(_Probe):
    """Weighted vote of the most similar rows, as in the ``knn`` protocol.

    FAISS finds the neighbours in float32, after an offset of the features is subtracted; their votes are
    weighted in float64, so that a prediction does not depend on the other rows of a call.

    Args:
        k: number of neighbours that vote; all rows if fewer were fitted.
        temperature: temperature of the vote weights ``exp(similarity / temperature)``; unused by ``euclidean``.
        metric: ``cosine``, or ``euclidean`` with vote weights 1 / distance.

    Attributes:
        classes_: ``[c]``.
        bank_: ``[n, d]``, rows in float32 or float64 as given; of unit length if the metric is ``cosine``.
        labels_: ``[n]``, their classes as indices into ``classes_``.
        n_features_in_: ``d``.
    """

    bank_: NDArray[np.floating]
    labels_: NDArray[np.int64]

    def __init__(self, k: int = 20, *, temperature: float = 0.07, metric: Metric = "cosine") -> None:
        self.k = k
        self.temperature = temperature
        self.metric = metric

    def fit(self, X: ArrayLike, y: ArrayLike) -> "KNNProbe":
        """Store the rows.

        Args:
            X: ``[n, d]``, finite.
            y: ``[n]``, classes.

        Raises: UsageError: if ``k``, ``temperature`` or ``metric`` is invalid.
        """
        if self.metric not in ("cosine", "euclidean"):
            raise UsageError(f"metric={self.metric!r} is unknown. Choose from: cosine, euclidean.")
        if self.k < 1:
            raise UsageError(f"k={self.k} is invalid: the number of neighbours must be 1 or more.")
        if not 0 < self.temperature < float("inf"):
            raise UsageError(f"temperature={self.temperature:g} must be above 0.")
        x, self.labels_ = self._rows(X, y)
        self.bank_ = _unit(x.astype(np.float64)).astype(x.dtype) if self.metric == "cosine" else x.copy()
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return the fraction of votes for each class, ``[n, c]``.

        Args:
            X: ``[n, d]``.
        """
        x = self._queries(X)
        x = _unit(x) if self.metric == "cosine" else x
        k = min(self.k, len(self.bank_))
        _, rows = neighbours(x.astype(self.bank_.dtype, copy=False), self.bank_, k=k, metric=self.metric)
        chunk = max(1, MAX_GATHERED // (k * x.shape[1]))
        starts = range(0, len(x), chunk)
        votes = np.concatenate([self._votes(x[i : i + chunk], rows[i : i + chunk]) for i in starts])
        cells = self.labels_[rows] + len(self.classes_) * np.arange(len(x))[:, None]
        total = np.bincount(cells.ravel(), votes.ravel(), minlength=len(x) * len(self.classes_))
        votes_per_class = total.reshape(len(x), -1)
        return votes_per_class / votes_per_class.sum(1, keepdims=True)

    def _votes(self, x: Floats, rows: NDArray[np.int64]) -> Floats:
        """Return the vote weights of the neighbours ``rows`` ``[n, k]`` of ``x`` ``[n, d]``, up to a factor per row."""
        near = self.bank_[rows].astype(np.float64)  # [n, k, d]
        if self.metric == "euclidean":
            return 1 / (np.linalg.norm(near - x[:, None], axis=2) + EPSILON)
        similarity = np.einsum("nkd,nd->nk", near, x)
        return np.exp((similarity - similarity.max(1, keepdims=True)) / self.temperature)

    _scores = predict_proba


class PrototypeProbe(_Probe):
    """Nearest class mean, as in prototypical networks [3].

    [3] Snell et al., Prototypical networks for few-shot learning, NeurIPS 2017.

    Args:
        normalize: True normalises rows to unit length first, as in the ``fewshot`` protocol. Means are not
            normalised again.

    Attributes:
        classes_: ``[c]``.
        prototypes_: ``[c, d]`` mean rows.
        n_features_in_: ``d``.
    """

    prototypes_: Floats

    def __init__(self, *, normalize: bool = True) -> None:
        self.normalize = normalize

    def fit(self, X: ArrayLike, y: ArrayLike) -> "PrototypeProbe":
        """Average the rows of each class.

        Args:
            X: ``[n, d]``, finite.
            y: ``[n]``, classes.
        """
        x, labels = self._rows(X, y)
        x = _unit(x.astype(np.float64)) if self.normalize else x.astype(np.float64)
        sums = np.zeros((len(self.classes_), x.shape[1]))
        np.add.at(sums, labels, x)
        self.prototypes_ = sums / np.bincount(labels)[:, None]
        return self

    def _scores(self, X: ArrayLike) -> Floats:
        """Return negative squared distances, without the term that is the same for all classes.

        Queries and prototypes are shifted by the mean prototype, so that an offset of the features cancels.
        """
        x = self._queries(X)
        x = _unit(x) if self.normalize else x
        centre = self.prototypes_.mean(0)
        prototypes = self.prototypes_ - centre
        return 2 * (x - centre) @ prototypes.T - np.square(prototypes).sum(1)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return the softmax of the negative squared distances, ``[n, c]`` [3].

        Args:
            X: ``[n, d]``.
        """
        return softmax(self._scores(X), axis=1)


def _unit(x: Floats) -> Floats:
    """Normalise rows to unit length; rows of zeros stay zero."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)
