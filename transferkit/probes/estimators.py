"""The probes as scikit-learn classifiers, for pipelines, searches and cross-validation on plain arrays [1].

Nothing is computed here that a sibling does not compute: these classes check arrays, number classes and
keep what was fitted. They follow scikit-learn's conventions and pass its ``check_estimator`` in full. What
the protocols add, which split selects and which one scores, is the caller's to arrange here.

Shapes: ``n`` rows, ``d`` features, ``c`` classes; float16 is taken as float32.

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
from .logistic import logistic_path
from .neighbours import Metric, neighbours
from .ridge import ridge_weights

DTYPES = (np.float32, np.float64)

GATHERED = 2**22
"""Feature values of neighbours gathered at once, in float64: 32 MiB."""

Floats = NDArray[np.float64]


class _Probe(ClassifierMixin, BaseEstimator, ABC):
    """What the probes share: inputs are checked, classes numbered, the largest score wins."""

    classes_: NDArray[Any]

    def _rows(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """``[n, d]`` and labels ``[n]`` to fit on, numbered by ``classes_``."""
        x, y = validate_data(self, X, y, dtype=DTYPES)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        return x, labels

    def _queries(self, X: ArrayLike) -> Floats:
        """``[n, d]`` float64 of as many features as were fitted."""
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=DTYPES).astype(np.float64)

    @abstractmethod
    def _scores(self, X: ArrayLike) -> Floats:
        """``[n, c]``, the larger the likelier."""

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The class of each row, ``[n]``.

        Args:
            X: ``[n, d]``.
        """
        best = self._scores(X).argmax(1)
        return self.classes_[best]


class _LinearModel(_Probe):
    """Weights and biases, their penalty given or chosen on held-out rows.

    Two classes have one column of weights, that of the second, as scikit-learn has it.
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
        """Weights ``[p, d, t]`` and biases ``[p, t]``: one column for two classes, else one a class."""

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> "_LinearModel":
        """Fit the penalty, or the one that is most accurate on held-out rows, on all rows.

        Args:
            X: ``[n, d]`` finite.
            y: ``[n]`` classes.
            groups: ``[n]`` group of each row; rows of one group are held out together.

        Raises:
            UsageError: if there is no penalty, or one not above 0, or ``validation`` not between 0 and 1.
            ShapeError: if there are several penalties and no row is left to choose on, or not ``n`` groups.
        """
        x, labels = self._rows(X, y)
        own = None if groups is None else np.asarray(groups).astype(str).tolist()
        centre = x.mean(0, dtype=np.float64)  # taken out in the precision of x: the fit may have less
        x = x - centre.astype(x.dtype)
        if not np.size(self.penalty):
            raise UsageError("penalty is empty: give one above 0, or several to choose from.")
        penalties = np.sort(np.atleast_1d(np.asarray(self.penalty, dtype=float)).ravel())[::-1].tolist()
        self.penalty_ = self._chosen(x, labels, penalties, own) if len(penalties) > 1 else penalties[0]
        weights, biases = self._path(torch.from_numpy(x), labels, [self.penalty_])
        self.coef_ = weights[0].T.double().numpy()
        self.intercept_ = biases[0].double().numpy() - self.coef_ @ centre.astype(x.dtype)
        return self

    def _chosen(
        self, x: NDArray[np.floating], labels: NDArray[np.int64], penalties: list[float], groups: Groups
    ) -> float:
        """The penalty, of these in descending order, most accurate on held-out rows; the first of equals."""
        if not 0 < self.validation < 1:
            raise UsageError(f"validation={self.validation:g} is no part of the rows: give one in 0 … 1.")
        seed = check_random_state(self.random_state).randint(2**31)
        parts = (1 - self.validation, self.validation)
        rng = np.random.Generator(np.random.PCG64(seed))
        kept, held = stratified_split(labels, parts, rng=rng, groups=groups)
        if not len(held):
            unit = "sample" if groups is None else "group"
            raise ShapeError(
                f"Of {len(x)} rows none is left to choose a penalty on: every class has one {unit} only. "
                "Give a single penalty, so that nothing is chosen."
            )
        weights, biases = self._path(torch.from_numpy(x[kept]), labels[kept], penalties)
        scores = torch.from_numpy(x[held]).to(weights.dtype) @ weights + biases[:, None]  # [p, n, t]
        guesses = (scores[..., 0] > 0) if len(self.classes_) == 2 else scores.argmax(2)
        return penalties[int((guesses.numpy() == labels[held]).mean(1).argmax())]

    def decision_function(self, X: ArrayLike) -> Floats:
        """Scores ``[n, c]``; of two classes ``[n]``, above 0 for the second.

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

    Solved by ``logistic_path``, in float32; several penalties are solved together.

    ::

        probe = LinearProbe(penalty=np.geomspace(1e-6, 1e5, 45)).fit(x, labels)
        probe.penalty_, probe.score(x_test, labels_test)

    Args:
        penalty: the L2 penalty, or several, of which the one most accurate on held-out rows is refitted on
            all; of equals the strongest.
        validation: the part of the rows, stratified by class, that several penalties are chosen on.
        random_state: seed of that split.

    Attributes:
        classes_: ``[c]``.
        coef_: ``[c, d]``; ``[1, d]`` for two classes.
        intercept_: ``[c]``; ``[1]`` for two classes.
        penalty_: what was fitted.
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
        """The model's probabilities, ``[n, c]``.

        Args:
            X: ``[n, d]``.
        """
        return softmax(self._scores(X), axis=1)


class RidgeProbe(_LinearModel):
    """Least squares to ±1 targets: a classifier in closed form, as big_vision's few-shot evaluation [2].

    Every class is regressed on: +1 for its rows, −1 for all others; the largest prediction wins. That is
    ``RidgeClassifier(alpha=penalty)`` of scikit-learn. Several penalties cost one decomposition. Big_vision
    standardises columns first and takes a penalty of 1024: ``make_pipeline(StandardScaler(),
    RidgeProbe(1024))``. There are no probabilities.

    [2] https://github.com/google-research/big_vision, ``evaluators/fewshot_lsr.py``.

    Args:
        penalty: as ``LinearProbe`` takes it.
        validation: the part of the rows, stratified by class, that several penalties are chosen on.
        random_state: seed of that split.

    Attributes:
        classes_: ``[c]``.
        coef_: ``[c, d]``; ``[1, d]`` for two classes.
        intercept_: ``[c]``; ``[1]`` for two classes.
        penalty_: what was fitted.
        n_features_in_: ``d``.
    """

    def _path(self, x: Tensor, labels: NDArray[np.int64], penalties: list[float]) -> tuple[Tensor, Tensor]:
        targets = torch.from_numpy(2.0 * (labels[:, None] == np.arange(len(self.classes_))) - 1)
        return ridge_weights(x, targets[:, 1:] if targets.shape[1] == 2 else targets, penalties)


class KNNProbe(_Probe):
    """A vote of the most similar rows, as the ``knn`` protocol takes it.

    FAISS finds the neighbours in float32, after an offset of the features is taken out; their votes are
    weighed in float64, so that a row's answer does not depend on which others are asked with it.

    Args:
        k: neighbours that vote; where fewer rows were fitted, all of them.
        temperature: of the votes ``exp(similarity / temperature)``; ``euclidean`` has none.
        metric: ``cosine``, or ``euclidean`` with votes 1 / distance.

    Attributes:
        classes_: ``[c]``.
        bank_: ``[n, d]`` rows, float32 or float64 as given; of unit length where the metric is ``cosine``.
        labels_: ``[n]`` their classes, as positions in ``classes_``.
        n_features_in_: ``d``.
    """

    bank_: NDArray[np.floating]
    labels_: NDArray[np.int64]

    def __init__(self, k: int = 20, *, temperature: float = 0.07, metric: Metric = "cosine") -> None:
        self.k = k
        self.temperature = temperature
        self.metric = metric

    def fit(self, X: ArrayLike, y: ArrayLike) -> "KNNProbe":
        """Keep the rows.

        Args:
            X: ``[n, d]`` finite.
            y: ``[n]`` classes.

        Raises: UsageError: if ``k``, ``temperature`` or ``metric`` cannot be meant.
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
        """The share of votes of each class, ``[n, c]``.

        Args:
            X: ``[n, d]``.
        """
        x = self._queries(X)
        x = _unit(x) if self.metric == "cosine" else x
        k = min(self.k, len(self.bank_))
        _, rows = neighbours(x.astype(self.bank_.dtype, copy=False), self.bank_, k=k, metric=self.metric)
        chunk = max(1, GATHERED // (k * x.shape[1]))
        pieces = range(0, len(x), chunk)
        votes = np.concatenate([self._votes(x[i : i + chunk], rows[i : i + chunk]) for i in pieces])
        cells = self.labels_[rows] + len(self.classes_) * np.arange(len(x))[:, None]
        total = np.bincount(cells.ravel(), votes.ravel(), minlength=len(x) * len(self.classes_))
        shares = total.reshape(len(x), -1)
        return shares / shares.sum(1, keepdims=True)

    def _votes(self, x: Floats, rows: NDArray[np.int64]) -> Floats:
        """Of the neighbours ``rows`` ``[n, k]`` of ``x`` ``[n, d]``, up to one factor a row."""
        near = self.bank_[rows].astype(np.float64)  # [n, k, d]
        if self.metric == "euclidean":
            return 1 / (np.linalg.norm(near - x[:, None], axis=2) + EPSILON)
        similarity = np.einsum("nkd,nd->nk", near, x)
        return np.exp((similarity - similarity.max(1, keepdims=True)) / self.temperature)

    _scores = predict_proba


class PrototypeProbe(_Probe):
    """The class whose mean row is nearest, as prototypical networks classify [3].

    [3] Snell et al., Prototypical networks for few-shot learning, NeurIPS 2017.

    Args:
        normalize: whether rows are brought to unit length first, as the ``fewshot`` protocol does. Means
            are not brought to unit length again.

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
            X: ``[n, d]`` finite.
            y: ``[n]`` classes.
        """
        x, labels = self._rows(X, y)
        x = _unit(x.astype(np.float64)) if self.normalize else x.astype(np.float64)
        sums = np.zeros((len(self.classes_), x.shape[1]))
        np.add.at(sums, labels, x)
        self.prototypes_ = sums / np.bincount(labels)[:, None]
        return self

    def _scores(self, X: ArrayLike) -> Floats:
        """Less the squared distances, without the part that is the same for all classes.

        Both sides are shifted by the mean prototype, so that an offset of the features cancels first.
        """
        x = self._queries(X)
        x = _unit(x) if self.normalize else x
        centre = self.prototypes_.mean(0)
        prototypes = self.prototypes_ - centre
        return 2 * (x - centre) @ prototypes.T - np.square(prototypes).sum(1)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """The softmax of less the squared distances, ``[n, c]`` [3].

        Args:
            X: ``[n, d]``.
        """
        return softmax(self._scores(X), axis=1)


def _unit(x: Floats) -> Floats:
    """Rows of unit length; zeros stay."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)
