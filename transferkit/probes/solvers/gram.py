"""Few-shot classifiers for a batch of episodes, computed from inner products only.

An episode has ``m = ways * shots`` support rows, sorted by class, and ``q`` query rows. For ``b`` episodes, the
inputs are ``gram`` ``[b, m, m]``, the inner products of the support rows, and ``cross`` ``[b, q, m]``, the inner
products of queries and support rows. Each classifier returns scores ``[b, q, ways]``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def nn_scores(gram: Tensor, cross: Tensor, *, shots: int) -> Tensor:
    """Compute the similarity of each query to the most similar support row of each class, ``[b, q, ways]``.

    Args:
        gram: ``[b, m, m]``, inner products of the ``m = ways * shots`` support rows, sorted by class.
        cross: ``[b, q, m]``, inner products of queries and support rows.
        shots: support rows per class.
    """
    return cross.unflatten(2, (-1, shots)).amax(3)


def proto_scores(gram: Tensor, cross: Tensor, *, shots: int) -> Tensor:
    """Compute the negative squared distance to each class's mean row [1], ``[b, q, ways]``, up to a constant.

    With ``μ`` the mean of a class, ``−|q − μ|² = 2qμ − |μ|² − |q|²``; the last term is the same for all classes
    and is omitted. The means of unit rows are not normalised again. The arguments are those of ``nn_scores``.

    [1] Snell et al., Prototypical networks for few-shot learning, NeurIPS 2017.
    """
    means = gram.unflatten(2, (-1, shots)).unflatten(1, (-1, shots)).mean((2, 4))  # μᵢμⱼ, [b, ways, ways]
    return 2 * cross.unflatten(2, (-1, shots)).mean(3) - means.diagonal(dim1=1, dim2=2).unsqueeze(1)


def ridge_scores(gram: Tensor, cross: Tensor, *, shots: int, penalty: float) -> Tensor:
    """Compute the predictions ``[b, q, ways]`` of ridge regression to targets ±1, in closed form.

    The weights are in the span of the support rows ``S``: ``W = Sᵀα``. For centred rows, the minimum of
    ``½ ‖SW + b − Y‖² + λ/2 ‖W‖²`` is ``α = (K + λI)⁻¹ (Y − Ȳ)`` with ``K = SSᵀ``, and ``b = Ȳ``.

    Args:
        gram: see ``nn_scores``.
        cross: see ``nn_scores``.
        shots: support rows per class.
        penalty: ``λ``, ``alpha`` of scikit-learn's ``Ridge``.
    """
    gram, cross = centred(gram.double(), cross.double())
    targets = _one_hot(gram, shots) * 2 - 1  # Y, [m, ways]
    bias = targets.mean(0)  # Ȳ, [ways]
    gram.diagonal(dim1=1, dim2=2).add_(penalty)  # K + λI
    alpha = torch.cholesky_solve((targets - bias).expand(len(gram), -1, -1), torch.linalg.cholesky(gram))
    return cross @ alpha + bias


def lr_scores(
    gram: Tensor, cross: Tensor, *, shots: int, penalty: float, tolerance: float = 1e-5, limit: int = 5000
) -> Tensor:
    """Compute the logits ``[b, q, ways]`` of multinomial logistic regression, scikit-learn's for C = 1/penalty.

    The weights are in the span of the support rows ``S``: ``W = Sᵀα``. The minimum of ``NLL + λ/2 ‖W‖²`` is
    where ``α = (Y − P)/λ``, with one-hot labels ``Y`` and probabilities ``P``. Conjugate gradients [2] over the
    weights, expressed in ``α``, need one product with ``K = SSᵀ`` per iteration. See ``_minimise``.

    Args:
        gram: see ``nn_scores``.
        cross: see ``nn_scores``.
        shots: support rows per class.
        penalty: ``λ``; doubled for two classes, where scikit-learn penalises ``w₁ − w₀``.
        tolerance: norm of the gradient with respect to ``W``, and largest entry of the gradient with respect
            to ``b``, at which an episode is solved. The iteration ends when all episodes are solved.
        limit: maximum number of iterations.

    [2] Polak and Ribière, Note sur la convergence de méthodes de directions conjuguées, RIRO 1969.
    """
    rounding = torch.finfo(gram.dtype).eps
    gram, cross = centred(gram.double(), cross.double())
    targets = _one_hot(gram, shots)
    strength = penalty * (2 if targets.shape[1] == 2 else 1)
    rounding_error = rounding * gram.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    alpha, bias = _minimise(gram, targets.T.contiguous(), strength, _StoppingRule(tolerance, rounding_error, limit))
    return cross @ alpha.mT + bias.mT


def centred(gram: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
    """Return the products of rows centred at the mean support row, where bias and ``W`` are decoupled."""
    with_mean = gram.mean(1, keepdim=True)  # products with the mean, [b, 1, m]
    mean_square = with_mean.mean(2, keepdim=True)  # squared length of the mean, [b, 1, 1]
    gram = gram - with_mean - with_mean.mT + mean_square
    return gram, cross - with_mean - cross.mean(2, keepdim=True) + mean_square


def _one_hot(gram: Tensor, shots: int) -> Tensor:
    """Return the one-hot labels of the support rows, ``[m, ways]``."""
    ways = gram.shape[1] // shots
    return torch.eye(ways, dtype=gram.dtype, device=gram.device).repeat_interleave(shots, 0)


@dataclass(frozen=True)
class _StoppingRule:
    """Conditions under which an episode is solved.

    Attributes:
        tolerance: gradient norm at or below which an episode is solved.
        rounding_error: ``[b, 1, 1]``, rounding error of ``uᵀKu`` for ``|u| = 1``.
        limit: maximum number of iterations.
    """

    tolerance: float
    rounding_error: Tensor
    limit: int

    def unsolved(self, gradient_square: Tensor, alpha_gradient: Tensor, bias_gradient: Tensor) -> Tensor:
        """Return which episodes continue, ``[b, 1, 1]``: those whose gradient exceeds tolerance and rounding."""
        certain = gradient_square - self.rounding_error * _dot(alpha_gradient, alpha_gradient)
        large = certain.maximum(bias_gradient.square().amax(1, keepdim=True)) > self.tolerance**2
        return large & (gradient_square > 0)  # a negative square consists of rounding error only


def _minimise(gram: Tensor, targets: Tensor, strength: float, stop: _StoppingRule) -> tuple[Tensor, Tensor]:
    """Return ``α`` ``[b, ways, m]`` and biases ``[b, ways, 1]`` at the minimum, for one-hot ``targets`` ``[ways, m]``.

    The inner product of ``Sᵀu`` and ``Sᵀv`` is ``uᵀKv``, so the negative gradient with respect to ``W`` is
    ``Sᵀg`` with ``g = Y − P − λα``. The curvature of the biases grows with the number of rows, so the biases are
    rescaled to the curvature of the weights.

    All gradients below are negative gradients, that is, directions of descent.
    """
    ways, m = targets.shape
    scale = (strength + gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]) * ways / m
    alpha, bias = gram.new_zeros(len(gram), ways, m), gram.new_zeros(len(gram), ways, 1)
    logits, direction, k_direction, bias_direction = (torch.zeros_like(t) for t in (alpha, alpha, alpha, bias))
    gradient, bias_gradient = torch.zeros_like(alpha), torch.zeros_like(bias)
    square = gram.new_ones(len(gram), 1, 1)  # of the gradient's norm, in the rescaled metric
    for _ in range(stop.limit):
        p = logits.softmax(1)
        error = targets - p  # Y − P
        last, last_bias = gradient, bias_gradient
        gradient, bias_gradient = error.sub(alpha, alpha=strength), error.sum(2, keepdim=True)
        k_gradient = gradient @ gram
        weight_square = _dot(gradient, k_gradient)  # squared norm of the gradient with respect to W
        unsolved = stop.unsolved(weight_square, gradient, bias_gradient)
        if not unsolved.any():
            break
        change = weight_square - _dot(last, k_gradient) + scale * _dot(bias_gradient - last_bias, bias_gradient)
        beta = (change / square).clamp(min=0)  # Polak–Ribière
        square = weight_square + scale * _dot(bias_gradient, bias_gradient)
        direction, k_direction = gradient + beta * direction, k_gradient + beta * k_direction
        bias_direction = scale * bias_gradient + beta * bias_direction
        logit_change = k_direction + bias_direction
        decrease = _dot(gradient, k_direction) + _dot(bias_gradient, bias_direction)
        penalty_curvature = (strength * _dot(direction, k_direction)).clamp(min=0)  # negative only by rounding
        step = _step(p, logit_change, decrease, penalty_curvature) * unsolved
        alpha, bias = alpha + step * direction, bias + step * bias_direction
        logits = logits + step * logit_change
    return alpha, bias


def _dot(u: Tensor, v: Tensor) -> Tensor:
    """Return the inner products of the episodes, ``[b, 1, 1]``."""
    return u.flatten(1).unsqueeze(1) @ v.flatten(1).unsqueeze(2)


def _step(p: Tensor, change: Tensor, decrease: Tensor, penalty_curvature: Tensor) -> Tensor:
    """Compute the step ``[b, 1, 1]`` along ``change``; the objective never increases.

    Along a line, the second derivative is ``penalty_curvature`` plus, per row, the variance of ``change`` under
    ``p``. After a step ``t`` it has grown at most by the factor ``exp(R t)``, with ``R`` the largest range of
    ``change`` in a row [3]: the minimum of this bound is at ``log(1 + R · decrease / curvature) / R``, near the
    solution a Newton step. The curvature of a row is also at most ``½ |change|²`` [4], which allows longer steps
    where ``R`` is large.

    Args:
        p: ``[b, ways, m]`` probabilities.
        change: ``[b, ways, m]``, change of the logits for a step of 1.
        decrease: ``[b, 1, 1]``, negative directional derivative of the objective.
        penalty_curvature: ``[b, 1, 1]``, second derivative of the penalty.

    [3] Bach, Self-concordant analysis for logistic regression, EJS 2010.
    [4] Böhning, Multinomial logistic regression algorithm, AISM 1992.
    """
    deviation = change - (p * change).sum(1, keepdim=True)  # centred first: a difference of two sums would round
    curvature = penalty_curvature + _dot(p, deviation.square())
    widest = (change.amax(1) - change.amin(1)).amax(1)[:, None, None]  # R
    max_curvature = penalty_curvature + _dot(change, change) / 2
    tiny = torch.finfo(p.dtype).tiny
    damped = (widest * decrease / curvature.clamp(min=tiny)).clamp(min=0).log1p() / widest.clamp(min=tiny)
    return torch.maximum(damped, decrease / max_curvature.clamp(min=tiny))
