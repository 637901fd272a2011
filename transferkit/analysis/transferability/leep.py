"""LEEP and NCE, which use the source classes of a model, and NLEEP, which uses clusters of its features.

The source classes are those that the model was trained on.

[1] Nguyen et al., LEEP: a new measure to evaluate transferability of learned representations, ICML 2020.
[2] Tran et al., Transferability and hardness of supervised classification tasks, ICCV 2019.
[3] Li et al., Ranking neural checkpoints, CVPR 2021.
"""

import warnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from ...core.errors import ShapeError
from ..labelled import Labelled
from .directions import principal_components
from .score import SCORES, TransferScore, two_classes

ENERGY = 0.8
"""Fraction of the variance that the principal components of NLEEP keep [3]."""

COMPONENTS = 5
"""Number of clusters of NLEEP per class [3]; there are at most half as many clusters as rows."""

SUM = 0.02
"""Maximum deviation of the sum of a row's probabilities from 1, enough for a thousand classes in float16."""


def leep(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Compute the mean log-likelihood of the labels under ``p(y | x) = Σ_z p(y | z) θ_z(x)`` [1]; at most 0.

    ``p(y | z)`` is the fraction of the probability of source class ``z`` that the rows with label ``y`` have.

    Args:
        probabilities: ``[n, s]``, θ, of the ``s`` source classes; rows sum to 1.
        labels: ``[n]`` integers of at least 2 classes.

    Raises:
        ShapeError: if a row is not a probability distribution.
        NonFiniteError, DataError: as ``two_classes``.
    """
    return _leep(_probabilities(probabilities, labels))


def nce(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Compute the negative entropy of the labels given the most probable source class [2]; at most 0.

    Args:
        probabilities: ``[n, s]`` of the ``s`` source classes; rows sum to 1.
        labels: ``[n]`` integers of at least 2 classes.

    Raises:
        ShapeError: if a row is not a probability distribution.
        NonFiniteError, DataError: as ``two_classes``.
    """
    rows = _probabilities(probabilities, labels)
    joint = np.zeros((len(rows.count), rows.x.shape[1]))  # [c, s]
    np.add.at(joint, (rows.y, rows.x.argmax(axis=1)), 1 / len(rows.x))
    given = joint / np.maximum(joint.sum(axis=0), np.finfo(np.float64).tiny)
    return float((joint * np.log(given, out=np.zeros_like(given), where=given > 0)).sum())


def nleep(x: ArrayLike, labels: ArrayLike, *, rng: np.random.Generator) -> float:
    """Compute LEEP with the clusters of a Gaussian mixture on principal components as source classes [3].

    Covariances are diagonal: with 5 clusters per class there are too few rows to estimate full ones.

    Args:
        x: ``[n, d]``; the score does not change if it is scaled or shifted.
        labels: ``[n]`` integers of at least 2 classes.
        rng: generator that seeds the initial clusters.

    Raises: ShapeError, NonFiniteError, DataError: as ``two_classes``.
    """
    rows = two_classes(x, labels)
    z, _ = principal_components(rows.x, energy=ENERGY)
    z = z / (np.sqrt((z**2).mean()) or 1.0)  # unit variance, since the mixture adds 1e-6 to variances
    mixture = GaussianMixture(
        min(COMPONENTS * len(rows.count), max(1, len(z) // 2)),
        covariance_type="diag",
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings():  # a mixture that did not converge is good enough
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = mixture.fit(z).predict_proba(z)
    return _leep(Labelled(clusters, rows.y, rows.count))


def _leep(rows: Labelled) -> float:
    joint = rows.means(rows.x) * (rows.count / len(rows.x))[:, None]  # [c, s], p(y, z)
    given = joint / np.maximum(joint.sum(axis=0), np.finfo(np.float64).tiny)
    likelihood = np.einsum("ns,ns->n", rows.x, given[rows.y])
    return float(np.log(likelihood).mean())


def _probabilities(probabilities: ArrayLike, labels: ArrayLike) -> Labelled:
    """Check the probabilities, and scale each row to a sum of 1."""
    rows = two_classes(probabilities, labels, needs="probabilities")
    total = rows.x.sum(axis=1, keepdims=True)
    if rows.x.min() < 0 or np.abs(total - 1).max() > SUM:
        row = int(np.maximum(np.abs(total[:, 0] - 1), (rows.x < 0).any(axis=1)).argmax())
        raise ShapeError(
            f"Row {row} is not a distribution: its sum is {total[row, 0]:.4g} and its minimum is "
            f"{rows.x[row].min():.4g}. Give the softmax of the logits."
        )
    return Labelled(rows.x / total, rows.y, rows.count)


SCORES.register("leep")(TransferScore(leep, "probabilities", "LEEP"))
SCORES.register("nce")(TransferScore(nce, "probabilities", "NCE"))
SCORES.register("nleep")(TransferScore(nleep, "features", "NLEEP", drawn=True))
