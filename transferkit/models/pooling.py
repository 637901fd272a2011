"""Pooling of a layer's output to one vector per image.

Shapes: ``b`` images, ``d`` features, ``h × w`` positions of a map, ``t`` tokens.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import isqrt, prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ModelError
from ..core.registry import unknown_name

Kind = Literal["map", "tokens", "vector"]

WHOLE = "whole"
"""The pooling that keeps all values."""

_PATCH_EMBEDDING = re.compile(r"(.*\.)?(patch_embed(dings)?|conv_proj)\d*(\.\d+)?")
_MAX_PREFIX_TOKENS = 16

WIDTHS = {"avg": 1, "max": 1, "avgmax": 2, "grid2": 4, "cls": 1, "mean-tokens": 1}
"""Pooling → number of values that it keeps per feature of a map or of tokens; ``whole`` keeps all."""


@dataclass(frozen=True)
class Form:
    """The meaning of the axes of a layer's output.

    Attributes:
        kind: ``map`` ``[b, d, h, w]`` or ``[b, h, w, d]``, ``tokens`` ``[b, t, d]`` or, in windows,
            ``[b, windows, t, d]``, ``vector`` ``[b, d]``.
        axis: Index of the axis ``d``.
        prefix: Number of class, distillation and register tokens before the patch tokens.
    """

    kind: Kind
    axis: int
    prefix: int = 0

    @property
    def poolings(self) -> tuple[str, ...]:
        """Poolings that can be applied; all of them leave a vector unchanged."""
        if self.kind == "map":
            return ("avg", "max", "avgmax", "grid2", "mean-tokens", WHOLE)
        if self.kind == "tokens":
            return (*(("cls",) if self.prefix else ()), "avg", "max", "avgmax", "mean-tokens", WHOLE)
        return (*WIDTHS, WHOLE)

    def width(self, shape: Sequence[int], pooling: str) -> int:
        """Return the number of features after pooling an output ``[b, …]`` of this shape."""
        if pooling == WHOLE or self.kind == "vector":
            return prod(shape[1:])
        return shape[self.axis] * WIDTHS[pooling]


def form_of(shape: torch.Size, *, batch: int, prefix: int, patches: Collection[int] = ()) -> Form | None:
    """Infer the axes from a shape; None if it has no row per image, or is none of the three kinds.

    Images are square, and so are maps: ``[b, d, s, s]`` is channels first, ``[b, s, s, d]`` channels last.

    Args:
        shape: shape of a layer's output.
        batch: number of images.
        prefix: number of tokens before the patch tokens in the network.
        patches: possible numbers of patches, as far as they are known.
    """
    if len(shape) < 2 or shape[0] != batch:
        return None
    match list(shape[1:]):
        case [_] | [_, 1, 1]:
            return Form("vector", 1)
        case [1, _]:
            return Form("vector", 2)
        case [1, 1, _]:
            return Form("vector", 3)
        case [tokens, _]:
            return Form("tokens", 2, _prefix_among(tokens, prefix, patches))
        case [_, height, width] if height == width:
            return Form("map", 1)
        case [height, width, _] if height == width:
            return Form("map", 3)
    return None


def _prefix_among(tokens: int, prefix: int, patches: Collection[int]) -> int:
    """Return ``prefix``, or 0 for a layer before these tokens are added.

    If the number of patches is unknown, it is assumed to be a square number.
    """
    if tokens <= prefix or tokens in patches:
        return 0
    if tokens - prefix in patches or _is_square(tokens - prefix):
        return prefix
    return 0 if _is_square(tokens) else prefix


def _is_square(number: int) -> bool:
    return isqrt(number) ** 2 == number


class Tokens:
    """The numbers of patch and prefix tokens of a network, as observed in its forward pass.

    Args:
        module: the network.
    """

    def __init__(self, module: nn.Module) -> None:
        self._prefix = prefix_tokens(module)
        self._in_windows = type(module).__name__ == "Nest"  # timm's
        self._patches: dict[str, int] = {}

    def see(self, name: str, shape: torch.Size) -> None:
        """Record the number of patches if the module ``name`` is a patch embedding."""
        if is_patch_embedding(name) and len(shape) in (3, 4):
            self._patches[name] = shape[1] if len(shape) == 3 else shape[2] ** 2  # [b, t, d], or a map

    def form_of(self, shape: torch.Size, *, batch: int) -> Form | None:
        """Return the meaning of the axes of a layer's output.

        If the network does not declare its number of prefix tokens, it is the number of tokens minus the number of
        patches.
        """
        if self._in_windows and len(shape) == 4 and shape[0] == batch and shape[2] != shape[3]:
            return Form("tokens", 3)
        patches, prefix = set(self._patches.values()), self._prefix
        if not prefix and len(shape) == 3:
            more = [shape[1] - number for number in patches if 0 <= shape[1] - number <= _MAX_PREFIX_TOKENS]
            prefix = min(more, default=0)
        return form_of(shape, batch=batch, prefix=prefix, patches=patches)


def is_patch_embedding(name: str) -> bool:
    """Return whether a module of this name is a patch embedding of an image or a map.

    >>> [is_patch_embedding(name) for name in ("patch_embed", "patch_embed2", "patch_embed.0", "blocks.0")]
    [True, True, True, False]
    """
    return _PATCH_EMBEDDING.fullmatch(name) is not None


def fitting_pooling(form: Form, own: str) -> str:
    """Return the network's own pooling if it can be applied to a layer, otherwise the mean over positions."""
    if own in form.poolings:
        return own
    return "mean-tokens" if form.kind == "tokens" else "avg"


def require_fit(layer: str, form: Form, pooling: str) -> None:
    """Check that a pooling can be applied to a layer's output.

    Raises:
        UnknownNameError: if there is no such pooling.
        ModelError: if it cannot be applied; the message names the poolings that can.
    """
    if pooling not in (*WIDTHS, WHOLE):
        raise unknown_name("pooling", pooling, [*WIDTHS, WHOLE])
    if pooling not in form.poolings:
        lack = "no class token" if pooling == "cls" else "no rows and columns"
        raise ModelError(
            f"Pooling {pooling!r} does not fit layer {layer!r}: it has {lack}. "
            f"Poolings that fit: {', '.join(form.poolings)}."
        )


def pool(output: Tensor, form: Form, pooling: str) -> Tensor:
    """Pool an output to one vector per image, a new tensor in at least float32.

    ``avg`` and ``mean-tokens`` are the mean over all positions, without prefix tokens; ``max`` is the maximum
    over them; ``avgmax`` concatenates both; ``grid2`` is the mean of each quarter of a map, grouped by feature;
    ``cls`` is the first token; ``whole`` is all values in the layer's order.

    Args:
        output: ``[b, …]`` output of a layer.
        form: the meaning of its axes.
        pooling: one of ``form.poolings``.

    Returns: ``[b, form.width(output.shape, pooling)]``.
    """
    dtype = torch.promote_types(output.dtype, torch.float32)
    if form.kind == "vector" or pooling == WHOLE:
        return output.flatten(1).to(dtype, copy=True)
    if pooling == "cls":
        return output[:, 0].to(dtype, copy=True)
    if pooling == "grid2":
        channels_first = output.movedim(form.axis, 1).to(dtype)
        return functional.adaptive_avg_pool2d(channels_first, 2).flatten(1)
    if form.kind == "tokens":
        output = output[:, form.prefix :]
    positions = tuple(axis for axis in range(1, output.ndim) if axis != form.axis)
    if pooling == "max":
        return output.amax(positions).to(dtype)
    mean = output.mean(positions, dtype=dtype)
    return torch.cat([mean, output.amax(positions).to(dtype)], dim=1) if pooling == "avgmax" else mean


def prefix_tokens(module: nn.Module) -> int:
    """Return the number of tokens before the patch tokens: timm's own number, or 1 for a class token, or 0."""
    counted = getattr(module, "num_prefix_tokens", None)
    if isinstance(counted, int):
        return counted
    return int(any(isinstance(getattr(module, name, None), Tensor) for name in ("class_token", "cls_token")))


def own_pooling(module: nn.Module) -> str:
    """Return the pooling that the network applies to its tokens; ``avg`` without tokens or if it is unknown."""
    if isinstance(getattr(module, "num_prefix_tokens", None), int):  # timm's transformers
        by_token = prefix_tokens(module) and getattr(module, "global_pool", "token") == "token"
        return "cls" if by_token else "mean-tokens"
    return "cls" if isinstance(getattr(module, "class_token", None), Tensor) else "avg"  # torchvision's
