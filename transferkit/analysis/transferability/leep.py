"""LEEP and NCE, of the classes a model was trained on, and NLEEP, of clusters of its features.

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
"""The share of variance that NLEEP's principal components keep [3]."""

COMPONENTS = 5
"""NLEEP's clusters for each class [3]; no more than half the rows."""

SUM = 0.02
"""How far the probabilities of a row may be from a sum of 1: float16 of a thousand classes stays within."""


def leep(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean log likelihood of the labels under ``p(y | x) = Σ_z p(y | z) θ_z(x)`` [1]; at most 0.

    ``p(y | z)`` are the shares in which a source class's probability falls on the rows of each label.

    Args:
        probabilities: ``[n, s]``, θ: of the ``s`` classes the model was trained on; rows sum to 1.
        labels: ``[n]`` integers of at least 2 classes.

    Raises:
        ShapeError: if these are no probabilities.
        NonFiniteError, DataError: as ``two_classes``.
    """
    return _leep(_probabilities(probabilities, labels))


def nce(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Less the entropy of the labels once the model's most probable source class is known [2]; at most 0.

    Args:
        probabilities: ``[n, s]`` of the ``s`` classes the model was trained on; rows sum to 1.
        labels: ``[n]`` integers of at least 2 classes.

    Raises:
        ShapeError: if these are no probabilities.
        NonFiniteError, DataError: as ``two_classes``.
    """
    rows = _probabilities(probabilities, labels)
    joint = np.zeros((len(rows.count), rows.x.shape[1]))  # [c, s]
    np.add.at(joint, (rows.y, rows.x.argmax(axis=1)), 1 / len(rows.x))
    given = joint / np.maximum(joint.sum(axis=0), np.finfo(np.float64).tiny)
    return float((joint * np.log(given, out=np.zeros_like(given), where=given > 0)).sum())


def nleep(x: ArrayLike, labels: ArrayLike, *, rng: np.random.Generator) -> float:
    """LEEP of the clusters of a Gaussian mixture on principal components in place of source classes [3].

    Covariances are diagonal: at 5 clusters a class full ones would have more numbers than the rows can say.

    Args:
        x: ``[n, d]``. No scale or shift of it matters.
        labels: ``[n]`` integers of at least 2 classes.
        rng: where the mixture starts.

    Raises: as ``two_classes``.
    """
    rows = two_classes(x, labels)
    z, _ = principal_components(rows.x, energy=ENERGY)
    z = z / (np.sqrt((z**2).mean()) or 1.0)  # the mixture's floor of variance is 1e-6
    mixture = GaussianMixture(
        min(COMPONENTS * len(rows.count), max(1, len(z) // 2)),
        covariance_type="diag",
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings():  # a mixture that has not settled, or finds fewer clusters, will do
        warnings.simplefilter("ignore", ConvergenceWarning)
        of_clusters = mixture.fit(z).predict_proba(z)
    return _leep(Labelled(of_clusters, rows.y, rows.count))


def _leep(rows: Labelled) -> float:
    joint = rows.means(rows.x) * (rows.count / len(rows.x))[:, None]  # [c, s], p(y, z)
    given = joint / np.maximum(joint.sum(axis=0), np.finfo(np.float64).tiny)
    likelihood = np.einsum("ns,ns->n", rows.x, given[rows.y])
    return float(np.log(likelihood).mean())


def _probabilities(probabilities: ArrayLike, labels: ArrayLike) -> Labelled:
    """Checked rows, made to sum to 1."""
    rows = two_classes(probabilities, labels, needs="probabilities")
    total = rows.x.sum(axis=1, keepdims=True)
    if rows.x.min() < 0 or np.abs(total - 1).max() > SUM:
        row = int(np.maximum(np.abs(total[:, 0] - 1), (rows.x < 0).any(axis=1)).argmax())
        raise ShapeError(
            f"Row {row} is no distribution: it sums to {total[row, 0]:.4g}, its least is "
            f"{rows.x[row].min():.4g}. Give the softmax of the logits."
        )
    return Labelled(rows.x / total, rows.y, rows.count)


SCORES.register("leep")(TransferScore(leep, "probabilities", "LEEP"))
SCORES.register("nce")(TransferScore(nce, "probabilities", "NCE"))
SCORES.register("nleep")(TransferScore(nleep, "features", "NLEEP", drawn=True))
