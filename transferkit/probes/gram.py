"""Small classifiers for many episodes at once, from inner products alone.

An episode has ``m = ways * shots`` support rows, class after class, and ``q`` query rows. All that these
classifiers want of them are ``gram`` ``[b, m, m]``, the inner products of the support rows, and ``cross``
``[b, q, m]``, those of the queries with them, for ``b`` episodes. Each gives scores ``[b, q, ways]``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def nn_scores(gram: Tensor, cross: Tensor, *, shots: int) -> Tensor:
    """The similarity of each query to the most similar row of each class, ``[b, q, ways]``.

    Args:
        gram: ``[b, m, m]`` inner products of the ``m = ways * shots`` support rows, class after class.
        cross: ``[b, q, m]`` inner products of queries with them.
        shots: rows a class.
    """
    return cross.unflatten(2, (-1, shots)).amax(3)


def proto_scores(gram: Tensor, cross: Tensor, *, shots: int) -> Tensor:
    """Less the squared distance to each class's mean row [1], ``[b, q, ways]``; arguments as ``nn_scores``.

    With ``μ`` a class's mean, ``−|q − μ|² = 2qμ − |μ|² − |q|²``, and the last is the same for all classes.
    The means of unit rows are not brought to unit length again.

    [1] Snell et al., Prototypical networks for few-shot learning, NeurIPS 2017.
    """
    blocks = gram.unflatten(2, (-1, shots)).unflatten(1, (-1, shots)).mean((2, 4))  # [b, ways, ways]
    return 2 * cross.unflatten(2, (-1, shots)).mean(3) - blocks.diagonal(dim1=1, dim2=2).unsqueeze(1)


def ridge_scores(gram: Tensor, cross: Tensor, *, shots: int, penalty: float) -> Tensor:
    """Fitted values ``[b, q, ways]`` of least squares to targets ±1 with an L2 penalty, in closed form.

    The weights lie in the span of the support rows, ``W = Sᵀα``; about their mean the minimum of
    ``½ ‖SW + b − Y‖² + λ/2 ‖W‖²`` is where ``α = (K + λ)⁻¹ (Y − Ȳ)`` with ``K = SSᵀ``, and ``b = Ȳ``.

    Args:
        gram: as in ``nn_scores``, like the following.
        cross: of queries with the support rows.
        shots: rows a class.
        penalty: ``λ``, as ``alpha`` of scikit-learn's ``Ridge``.
    """
    gram, cross = centred(gram.double(), cross.double())
    truth = _one_hot(gram, shots) * 2 - 1  # [m, ways]
    level = truth.mean(0)
    gram.diagonal(dim1=1, dim2=2).add_(penalty)
    alpha = torch.cholesky_solve((truth - level).expand(len(gram), -1, -1), torch.linalg.cholesky(gram))
    return cross @ alpha + level


def lr_scores(
    gram: Tensor, cross: Tensor, *, shots: int, penalty: float, tolerance: float = 1e-5, limit: int = 5000
) -> Tensor:
    """Logits ``[b, q, ways]`` of multinomial logistic regression as scikit-learn fits it for C = 1/penalty.

    The weights lie in the span of the support rows, ``W = Sᵀα``, and the minimum of ``NLL + λ/2 ‖W‖²`` is
    where ``α = (Y − P)/λ``. Conjugate gradients [2] over the weights, written in ``α``, need one product with
    ``K = SSᵀ`` an iteration. See ``_descend``.

    Args:
        gram: as in ``nn_scores``, like the following.
        cross: of queries with the support rows.
        shots: rows a class.
        penalty: ``λ``; two classes count it twice, as scikit-learn does by penalising ``w₁ − w₀``.
        tolerance: norm of the gradient over ``W``, and largest entry of that over ``b``, at which an
            episode is solved; the iteration ends when all are.
        limit: of the iterations.

    [2] Polak and Ribière, Note sur la convergence de méthodes de directions conjuguées, RIRO 1969.
    """
    rounding = torch.finfo(gram.dtype).eps
    gram, cross = centred(gram.double(), cross.double())
    truth = _one_hot(gram, shots)
    strength = penalty * (2 if truth.shape[1] == 2 else 1)
    floor = rounding * gram.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    alpha, bias = _descend(gram, truth.T.contiguous(), strength, _Stop(tolerance, floor, limit))
    return cross @ alpha.mT + bias.mT


def centred(gram: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
    """The same products about the mean support row: a bias takes that up, and no longer mixes with ``W``."""
    to_mean = gram.mean(1, keepdim=True)  # [b, 1, m]
    of_mean = to_mean.mean(2, keepdim=True)
    gram = gram - to_mean - to_mean.mT + of_mean
    return gram, cross - to_mean - cross.mean(2, keepdim=True) + of_mean


def _one_hot(gram: Tensor, shots: int) -> Tensor:
    """``[m, ways]``."""
    ways = gram.shape[1] // shots
    return torch.eye(ways, dtype=gram.dtype, device=gram.device).repeat_interleave(shots, 0)


@dataclass(frozen=True)
class _Stop:
    """When enough is enough.

    Attributes:
        tolerance: norm of the gradient.
        floor: ``[b, 1, 1]`` what rounding of the products leaves of ``uᵀKu``, for ``|u| = 1``.
        limit: of the iterations.
    """

    tolerance: float
    floor: Tensor
    limit: int

    def unsolved(self, steep: Tensor, slope: Tensor, pull: Tensor) -> Tensor:
        """Which episodes are to go on, ``[b, 1, 1]``: not those solved as far as their products tell."""
        known = steep - self.floor * _dot(slope, slope)
        large = known.maximum(pull.square().amax(1, keepdim=True)) > self.tolerance**2
        return large & (steep > 0)  # a square below 0 is all rounding


def _descend(gram: Tensor, truth: Tensor, strength: float, stop: _Stop) -> tuple[Tensor, Tensor]:
    """``α`` ``[b, ways, m]`` and biases ``[b, ways, 1]`` at the optimum, for ``truth`` ``[ways, m]``.

    The inner product of ``Sᵀu`` and ``Sᵀv`` is ``uᵀKv``, so that the gradient over ``W`` is ``Sᵀ`` times what
    ``Y − P − λα`` lacks to 0. Biases, which bend the more the more rows there are, are scaled to match.
    """
    ways, m = truth.shape
    scale = (strength + gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]) * ways / m
    alpha, bias = gram.new_zeros(len(gram), ways, m), gram.new_zeros(len(gram), ways, 1)
    logits, way, lifted_way, bias_way = (torch.zeros_like(t) for t in (alpha, alpha, alpha, bias))
    slope, pull, size = torch.zeros_like(alpha), torch.zeros_like(bias), gram.new_ones(len(gram), 1, 1)
    for _ in range(stop.limit):
        p = logits.softmax(1)
        error = truth - p
        before, pull_before = slope, pull
        slope, pull = error.sub(alpha, alpha=strength), error.sum(2, keepdim=True)
        lifted = slope @ gram
        steep = _dot(slope, lifted)
        unsolved = stop.unsolved(steep, slope, pull)
        if not unsolved.any():
            break
        turned = steep - _dot(before, lifted) + scale * _dot(pull - pull_before, pull)
        keep = (turned / size).clamp(min=0)
        size = steep + scale * _dot(pull, pull)
        way, lifted_way = slope + keep * way, lifted + keep * lifted_way
        bias_way = scale * pull + keep * bias_way
        change = lifted_way + bias_way  # of the logits
        fall = _dot(slope, lifted_way) + _dot(pull, bias_way)
        bend = (strength * _dot(way, lifted_way)).clamp(min=0)  # but for rounding
        step = _step(p, change, fall, bend) * unsolved
        alpha, bias, logits = alpha + step * way, bias + step * bias_way, logits + step * change
    return alpha, bias


def _dot(u: Tensor, v: Tensor) -> Tensor:
    """``[b, 1, 1]``."""
    return u.flatten(1).unsqueeze(1) @ v.flatten(1).unsqueeze(2)


def _step(p: Tensor, change: Tensor, fall: Tensor, bend: Tensor) -> Tensor:
    """How far to go along ``change`` ``[b, ways, m]`` of the logits, ``[b, 1, 1]``; the loss never rises.

    Along a line the loss bends by ``bend`` and, at each row, by the variance of ``change`` under ``p``. That
    grows at most ``exp(R t)``-fold, ``R`` being the widest range of ``change`` at a row [3]: the minimum of
    this bound lies at ``log(1 + R · fall / bending) / R``, near the solution a Newton step. Neither does a
    row bend more than ``½ |change|²`` [4], which allows longer steps where ``R`` is large.

    Args:
        p: ``[b, ways, m]`` probabilities.
        change: ``[b, ways, m]`` of the logits, for a step of 1.
        fall: ``[b, 1, 1]`` of the loss, for a small step, and per step.
        bend: ``[b, 1, 1]`` of the penalty.

    [3] Bach, Self-concordant analysis for logistic regression, EJS 2010.
    [4] Böhning, Multinomial logistic regression algorithm, AISM 1992.
    """
    spread = change - (p * change).sum(1, keepdim=True)  # first, as the difference of two sums would round
    curved = bend + _dot(p, spread.square())
    reach = (change.amax(1) - change.amin(1)).amax(1)[:, None, None]
    most = bend + _dot(change, change) / 2
    tiny = torch.finfo(p.dtype).tiny
    careful = (reach * fall / curved.clamp(min=tiny)).clamp(min=0).log1p() / reach.clamp(min=tiny)
    return torch.maximum(careful, fall / most.clamp(min=tiny))
