"""Few-shot recognition among all classes at once, as big_vision evaluates it [1].

``shots`` rows of every class of ``train`` are fitted, and the whole of ``test`` is scored, for several draws.
A draw is by name: it does not depend on the order of the rows, and the rows of 1 shot are part of those of 5.

[1] https://github.com/google-research/big_vision, evaluators/fewshot_lsr.py: ridge regression to ±1 on
    standardised features, a bias feature of 100, penalty 2¹⁰, 1/5/10/25 shots, 3 seeds.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .episodes import shuffled
from .logistic import logistic_path
from .ridge import ridge_weights

Method = Literal["lr", "ridge", "proto", "nn"]

PENALTY = 2.0**10
"""Of ``ridge`` [1]."""

BIAS = 100.0
"""The constant feature that carries the bias of ``ridge``, and is penalised as the others are [1]."""

LEAST_DEVIATION = 1e-5
"""Added to each feature's standard deviation [1]."""

TOGETHER = 2**24
"""Similarities held at once: 64 MiB."""


def draw_shots(
    labels: NDArray[np.integer], names: Sequence[str], *, shots: int, seed: int, repeat: int
) -> NDArray[np.int64]:
    """Rows to fit, ``shots`` of each class or all it has, class after class; more shots keep earlier ones.

    Args:
        labels: ``[n]``.
        names: ``[n]``, unique.
        shots: rows a class.
        seed: of every draw.
        repeat: number of this draw.
    """
    order = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    by_name = np.asarray(labels)[order]
    return np.concatenate(
        [
            shuffled(order[by_name == label], seed, "allway", repeat, label)[:shots]
            for label in np.unique(by_name).tolist()
        ]
    )


def allway_predictions(
    x: Tensor, labels: Tensor, queries: Tensor, *, method: Method, penalty: float
) -> Tensor:
    """The class of each query, ``[q]``; a class without rows is never named.

    ``ridge`` standardises features over ``x``; the others bring rows to unit length. ``lr`` and ``ridge`` are
    penalised by ``penalty``; ``proto`` names the nearest class mean, ``nn`` the class of the nearest row.

    Args:
        x: ``[n, d]`` rows to fit, floating point, finite.
        labels: ``[n]`` integers, 0 or above.
        queries: ``[q, d]``.
        method: ``lr``, ``ridge``, ``proto`` or ``nn``.
        penalty: ``λ``, above 0.
    """
    present, y = labels.unique(return_inverse=True)
    if method == "ridge":
        return present[_ridge_scores(x, y, len(present), queries, penalty).argmax(1)]
    x, queries = (torch.nn.functional.normalize(rows.float()) for rows in (x, queries))
    if method == "nn":
        parts = queries.split(max(1, TOGETHER // len(x)))
        return present[y[torch.cat([(part @ x.T).argmax(1) for part in parts])]]
    if method == "proto":
        means = torch.zeros(len(present), x.shape[1]).index_add_(0, y, x) / y.bincount()[:, None]
        return present[(2 * queries @ means.T - means.square().sum(1)).argmax(1)]
    path = logistic_path(x, y, [penalty], len(present))
    return present[(queries @ path.weights[0] + path.biases[0]).argmax(1)]


def _ridge_scores(x: Tensor, y: Tensor, classes: int, queries: Tensor, penalty: float) -> Tensor:
    """Fitted values ``[q, classes]`` for targets ±1.

    With the columns of ``x`` centred, a constant feature ``B`` mixes with no other: its share of the answer
    is ``Σy / (n + λ/B²)``, so that the free bias of ``ridge_weights`` has only to be shrunk.
    """
    x, queries = x.double(), queries.double()
    centre, deviation = x.mean(0), x.std(0, correction=0) + LEAST_DEVIATION
    targets = 2 * torch.nn.functional.one_hot(y, classes).double() - 1
    weights, _ = ridge_weights((x - centre) / deviation, targets, [penalty])
    bias = targets.sum(0) / (len(x) + penalty / BIAS**2)
    return (queries - centre) / deviation @ weights[0] + bias
