"""Few-shot classification among all classes, as in big_vision [1].

A classifier is fitted to ``shots`` rows of each class of ``train`` and scored on all of ``test``, for several
draws. A draw depends on names, not on the order of the rows, and the rows of 1 shot are part of those of 5.

[1] https://github.com/google-research/big_vision, evaluators/fewshot_lsr.py: ridge regression to ±1 on
    standardised features, a bias feature of 100, penalty 2¹⁰, 1/5/10/25 shots, 3 seeds.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .episodes import shuffled
from .solvers import Method
from .solvers.logistic import logistic_path
from .solvers.ridge import ridge_weights

BIAS = 100.0
"""Value of the constant bias feature of ``ridge``, whose weight is penalised like all weights [1]."""

EPSILON = 1e-5
"""Number added to each feature's standard deviation [1]."""

MAX_SIMILARITIES = 2**24
"""Number of similarities in memory at once (64 MiB)."""

GPU_QUERY_VALUES = 2**26
"""Number of query values that are copied to a GPU at once (256 MiB of float32)."""

CPU = torch.device("cpu")


def draw_shots(
    labels: NDArray[np.integer], names: Sequence[str], *, shots: int, seed: int, repeat: int
) -> NDArray[np.int64]:
    """Draw ``shots`` rows of each class, or all if there are fewer, sorted by class; draws of more shots are nested.

    Args:
        labels: ``[n]``.
        names: ``[n]``, unique.
        shots: rows per class.
        seed: seed of all draws.
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
    x: Tensor, labels: Tensor, queries: Tensor, *, method: Method, penalty: float, device: torch.device = CPU
) -> Tensor:
    """Predict the class of each query, ``[q]``; a class without rows is never predicted.

    ``ridge`` standardises features over ``x``; all other methods normalise rows to unit length. ``penalty`` applies
    to ``lr`` and ``ridge``; ``proto`` predicts the nearest class mean, ``nn`` the class of the nearest row. All
    tensors are on the CPU.

    Args:
        x: ``[n, d]``, training rows, floating point, finite.
        labels: ``[n]`` integers, 0 or above.
        queries: ``[q, d]``.
        method: ``lr``, ``ridge``, ``proto`` or ``nn``.
        penalty: ``λ``, above 0.
        device: device of the computation; a GPU processes the queries in chunks.
    """
    present, y = labels.unique(return_inverse=True)
    predict = _CLASSIFIERS[method](x, y, penalty, device)
    most = max(1, len(queries) if device.type == "cpu" else GPU_QUERY_VALUES // queries.shape[1])
    return present[torch.cat([predict(chunk.to(device)).cpu() for chunk in queries.split(most)])]


Predictor = Callable[[Tensor], Tensor]
"""Function from queries ``[m, d]`` to indices ``[m]`` into the present classes, both on the device."""


def _nn(x: Tensor, y: Tensor, penalty: float, device: torch.device) -> Predictor:
    """Fit a nearest-neighbour classifier; arguments as in ``_proto``."""
    x, y = _unit(x).to(device), y.to(device)

    def predict(queries: Tensor) -> Tensor:
        parts = _unit(queries).split(max(1, MAX_SIMILARITIES // len(x)))
        return y[torch.cat([(part @ x.T).argmax(1) for part in parts])]

    return predict


def _proto(x: Tensor, y: Tensor, penalty: float, device: torch.device) -> Predictor:
    """Fit class means to rows ``x`` ``[n, d]`` with class indices ``y`` ``[n]``, both on the CPU."""
    x = _unit(x)
    means = torch.zeros(len(y.unique()), x.shape[1]).index_add_(0, y, x) / y.bincount()[:, None]
    means = means.to(device)  # computed on the CPU: the order of sums on a GPU varies
    return lambda queries: (2 * _unit(queries) @ means.T - means.square().sum(1)).argmax(1)


def _lr(x: Tensor, y: Tensor, penalty: float, device: torch.device) -> Predictor:
    """Fit logistic regression; arguments as in ``_proto``."""
    path = logistic_path(_unit(x), y.to(device), [penalty], len(y.unique()))
    return lambda queries: (_unit(queries) @ path.weights[0] + path.biases[0]).argmax(1)


def _ridge(x: Tensor, y: Tensor, penalty: float, device: torch.device) -> Predictor:
    """Fit ridge regression; arguments as in ``_proto``."""
    scores = ridge_scores(x.to(device), y.to(device), penalty)
    return lambda queries: scores(queries).argmax(1)


_CLASSIFIERS = {"nn": _nn, "proto": _proto, "lr": _lr, "ridge": _ridge}


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.float())


def ridge_scores(x: Tensor, y: Tensor, penalty: float) -> Callable[[Tensor], Tensor]:
    """Return a function from queries ``[m, d]`` to predictions ``[m, classes]`` of targets ±1, on the device of ``x``.

    With the columns of ``x`` centred, a constant feature ``B`` is orthogonal to all features: its contribution to
    the prediction is ``Σy / (n + λ/B²)``, so the free bias of ``ridge_weights`` only has to be shrunk.
    """
    x = x.double()
    centre, deviation = x.mean(0), x.std(0, correction=0) + EPSILON
    targets = 2 * torch.nn.functional.one_hot(y).double() - 1
    weights, _ = ridge_weights((x - centre) / deviation, targets, [penalty])
    bias = targets.sum(0) / (len(x) + penalty / BIAS**2)
    return lambda queries: (queries.double() - centre) / deviation @ weights[0] + bias
