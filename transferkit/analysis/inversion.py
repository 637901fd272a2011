"""Feature inversion: the image whose features are nearest to given ones [1].

Images with the same features show which information a layer preserves. One such image is found by minimisation of
the distance ``‖φ(x) - φ₀‖² / ‖φ₀‖²`` of features ``φ`` over ``x``, parametrised either

- by a deep image prior [2], as in [3]; or
- as the sigmoid of one number per pixel and channel, with total variation as in [1].

[1] Mahendran and Vedaldi, Understanding deep image representations by inverting them, CVPR 2015.
[2] Ulyanov, Vedaldi and Lempitsky, Deep image prior, CVPR 2018.
[3] Zhao et al., What makes instance discrimination good for transfer learning?, ICLR 2021.

Shapes: ``b`` images of side ``s``, features ``[b, …]`` of any shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import ModelError, NonFiniteError, ShapeError
from ..core.seeding import generator
from .inversion_settings import InversionSettings
from .prior import DeepImagePrior

_INITIAL_STD = 0.1  # standard deviation of the initial logits: nearly grey pixels


@dataclass(frozen=True, eq=False)
class Inversion:
    """Result of feature inversion.

    Attributes:
        images: ``[b, 3, s, s]`` in 0 … 1, each with the lowest objective (distance and total variation) of all steps.
        distances: ``[b]``, distances of their features; 0 for the target, 1 for features of zero.
        curve: ``[steps, b]``, distances at each step.
    """

    images: Tensor
    distances: Tensor
    curve: Tensor


def invert(
    features_of: Callable[[Tensor], Tensor],
    target: Tensor,
    *,
    size: int,
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[], None] | None = None,
) -> Inversion:
    """Find images with the features ``target``, independently of each other.

    Args:
        features_of: from ``[b, 3, s, s]`` in 0 … 1 to ``[b, …]``, differentiable, row by row.
        target: ``[b, …]``, target features, on the device of the computation.
        size: pixels per side, ``s``.
        settings: parametrisation and optimiser.
        seed: seed of the initial images; each image has its own generator, independent of ``b``.
        on_step: called after each step.

    Raises:
        UsageError: if the images are too small for the prior.
        ShapeError: if there is no image, or the features of the images have another shape than the target.
        ModelError: if the features are not differentiable.
        NonFiniteError: if the target or a distance is not finite.
    """
    _require_finite_target(target)
    canvas = _canvas(len(target), size, settings, seed).to(target.device)
    parameters = list(canvas.parameters())
    optimizer = torch.optim.Adam(parameters, lr=settings.rate)
    drawn = target.new_zeros(len(target), 3, size, size, dtype=torch.float32)
    lowest = target.new_full((len(target),), torch.inf, dtype=torch.float32)
    nearest, curve = lowest, []
    for step in range(settings.steps):
        with torch.enable_grad():
            images = canvas()
            distances = feature_distances(_fitting(features_of(images), target, size), target)
            objective = distances + settings.smoothing * total_variation(images)
            gradients = torch.autograd.grad(objective.sum(), parameters)  # not with respect to the weights of φ
        images, distances, objective = images.detach(), distances.detach(), objective.detach()
        _require_finite_step(objective, step, settings)
        better = objective < lowest
        lowest, nearest = torch.where(better, objective, lowest), torch.where(better, distances, nearest)
        drawn = torch.where(better[:, None, None, None], images, drawn)
        curve.append(distances)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        if on_step is not None:
            on_step()
    return Inversion(drawn, nearest, torch.stack(curve))


def feature_distances(features: Tensor, target: Tensor) -> Tensor:
    """Compute ``‖φ - φ₀‖² / ‖φ₀‖²`` of each image, ``[b]``; a target of zeros has the denominator 1.

    Args:
        features: ``[b, …]`` φ.
        target: ``[b, …]`` φ₀, of the same shape.
    """
    features, target = features.flatten(1).float(), target.flatten(1).float()
    norms = target.square().sum(1)  # [b]
    return (features - target).square().sum(1) / torch.where(norms > 0, norms, 1)


def total_variation(images: Tensor) -> Tensor:
    """Compute the mean squared vertical difference plus the mean squared horizontal difference, ``[b]``; β = 2 in [1].

    Args:
        images: ``[b, c, s, s]``.
    """
    return images.diff(dim=2).square().mean((1, 2, 3)) + images.diff(dim=3).square().mean((1, 2, 3))


class _Pixels(nn.Module):
    """Images as the sigmoid of free parameters, nearly grey at first."""

    def __init__(self, images: int, size: int, *, seed: int) -> None:
        super().__init__()
        draws = [generator(seed, "pixels", image).normal(0, _INITIAL_STD, (3, size, size)) for image in range(images)]
        self.logits = nn.Parameter(torch.tensor(np.stack(draws), dtype=torch.float32))

    def forward(self) -> Tensor:
        return self.logits.sigmoid()


def _canvas(images: int, size: int, settings: InversionSettings, seed: int) -> nn.Module:
    if settings.method == "pixels":
        return _Pixels(images, size, seed=seed)
    return DeepImagePrior(
        images, size, decoder_width=settings.decoder_width, decoder_depth=settings.decoder_depth, seed=seed
    )


def _fitting(features: Tensor, target: Tensor, size: int) -> Tensor:
    """Check that ``features`` have the shape of the target and a gradient, and return them."""
    if features.shape != target.shape:
        raise ShapeError(
            f"Images of {size}×{size} have features {list(features.shape)}, the target is "
            f"{list(target.shape)}: give the size that the target was made at."
        )
    if not features.requires_grad:
        raise ModelError(
            "The features carry no gradient back to the images: compute them outside of inference mode, "
            "and detach nothing."
        )
    return features


def _require_finite_target(target: Tensor) -> None:
    if not len(target):
        raise ShapeError(f"A target {list(target.shape)} holds no image: give one or more.")
    finite = target.flatten(1).isfinite().all(1)
    if not finite.all():
        raise NonFiniteError(f"The target of image {int((~finite).nonzero()[0])} is not finite. Leave that image out.")


def _require_finite_step(objective: Tensor, step: int, settings: InversionSettings) -> None:
    finite = objective.isfinite()
    if not finite.all():
        image = int((~finite).nonzero()[0])
        raise NonFiniteError(
            f"The distance of image {image} is {float(objective[image])} at step {step}, at a learning rate "
            f"of {settings.rate:g}: lower --lr."
        )
