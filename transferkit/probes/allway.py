"""Few-shot recognition among all classes at once, as big_vision evaluates it [1].

``shots`` rows of every class of ``train`` are fitted, and the whole of ``test`` is scored, for several draws.
A draw is by name: it does not depend on the order of the rows, and the rows of 1 shot are part of those of 5.

[1] https://github.com/google-research/big_vision, evaluators/fewshot_lsr.py: ridge regression to ±1 on
    standardised features, a bias feature of 100, penalty 2¹⁰, 1/5/10/25 shots, 3 seeds.
"""

from collections.abc import Callable, Sequence
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

ON_GPU = 2**26
"""Values of queries that a GPU is given at once: 256 MiB as float32."""

CPU = torch.device("cpu")


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
    x: Tensor, labels: Tensor, queries: Tensor, *, method: Method, penalty: float, device: torch.device = CPU
) -> Tensor:
    """The class of each query, ``[q]``; a class without rows is never named.

    ``ridge`` standardises features over ``x``; the others bring rows to unit length. ``lr`` and ``ridge`` are
    penalised by ``penalty``; ``proto`` names the nearest class mean, ``nn`` the class of the nearest row.
    Tensors are taken and given on the CPU.

    Args:
        x: ``[n, d]`` rows to fit, floating point, finite.
        labels: ``[n]`` integers, 0 or above.
        queries: ``[q, d]``.
        method: ``lr``, ``ridge``, ``proto`` or ``nn``.
        penalty: ``λ``, above 0.
        device: that computes; a GPU goes through the queries piece by piece.
    """
    present, y = labels.unique(return_inverse=True)
    place_of = _FITTED[method](x, y, penalty, device)
    most = max(1, len(queries) if device.type == "cpu" else ON_GPU // queries.shape[1])
    return present[torch.cat([place_of(piece.to(device)).cpu() for piece in queries.split(most)])]


Places = Callable[[Tensor], Tensor]
"""From queries ``[m, d]`` to places ``[m]`` among the classes that are present, both on the device."""


def _nn(x: Tensor, y: Tensor, penalty: float, device: torch.device) -> Places:
    """As ``_proto``."""
    x, y = _unit(x).to(device), y.to(device)

    def places(queries: Tensor) -> Tensor:
        parts = _unit(queries).split(max(1, TOGETHER // len(x)))
        return y[torch.cat([(part @ x.T).argmax(1) for part in parts])]

    return places


def _proto(x: Tensor, y: Tensor, penalty: float, device: torch.device) -> Places:
    """The fit to rows ``x`` ``[n, d]`` of places ``y`` ``[n]``, both on the CPU."""
    x = _unit(x)
    means = torch.zeros(len(y.unique()), x.shape[1]).index_add_(0, y, x) / y.bincount()[:, None]
    means = means.to(device)  # made on the CPU: a GPU would add in an order of its own
    return lambda queries: (2 * _unit(queries) @ means.T - means.square().sum(1)).argmax(1)


def _lr(x: Tensor, y: Tensor, penalty: float, device: torch.device) -> Places:
    """As ``_proto``."""
    path = logistic_path(_unit(x), y.to(device), [penalty], len(y.unique()))
    return lambda queries: (_unit(queries) @ path.weights[0] + path.biases[0]).argmax(1)


def _ridge(x: Tensor, y: Tensor, penalty: float, device: torch.device) -> Places:
    """As ``_proto``."""
    scores = ridge_scores(x.to(device), y.to(device), penalty)
    return lambda queries: scores(queries).argmax(1)


_FITTED = {"nn": _nn, "proto": _proto, "lr": _lr, "ridge": _ridge}


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.float())


def ridge_scores(x: Tensor, y: Tensor, penalty: float) -> Callable[[Tensor], Tensor]:
    """What gives fitted values ``[m, classes]`` of queries ``[m, d]`` for targets ±1, on the device of ``x``.

    With the columns of ``x`` centred, a constant feature ``B`` mixes with no other: its share of the answer
    is ``Σy / (n + λ/B²)``, so that the free bias of ``ridge_weights`` has only to be shrunk.
    """
    x = x.double()
    centre, deviation = x.mean(0), x.std(0, correction=0) + LEAST_DEVIATION
    targets = 2 * torch.nn.functional.one_hot(y).double() - 1
    weights, _ = ridge_weights((x - centre) / deviation, targets, [penalty])
    bias = targets.sum(0) / (len(x) + penalty / BIAS**2)
    return lambda queries: (queries.double() - centre) / deviation @ weights[0] + bias
