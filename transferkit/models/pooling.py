"""How a layer's output becomes one vector an image.

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
"""The pooling that keeps everything."""

_PATCH_EMBEDDING = re.compile(r"(.*\.)?(patch_embed(dings)?|conv_proj)\d*(\.\d+)?")
_MOST_PREFIX_TOKENS = 16

WIDTHS = {"avg": 1, "max": 1, "avgmax": 2, "grid2": 4, "cls": 1, "mean-tokens": 1}
"""Pooling → how many values it keeps of each feature of a map or of tokens; ``whole`` keeps them all."""


@dataclass(frozen=True)
class Form:
    """What the axes of a layer's output mean.

    Attributes:
        kind: ``map`` ``[b, d, h, w]`` or ``[b, h, w, d]``, ``tokens`` ``[b, t, d]`` or, in windows,
            ``[b, windows, t, d]``, ``vector`` ``[b, d]``.
        axis: where ``d`` stands.
        prefix: class, distillation and register tokens that stand before those of the patches.
    """

    kind: Kind
    axis: int
    prefix: int = 0

    @property
    def poolings(self) -> tuple[str, ...]:
        """The poolings that fit; a vector is left as it is by any."""
        if self.kind == "map":
            return ("avg", "max", "avgmax", "grid2", "mean-tokens", WHOLE)
        if self.kind == "tokens":
            return (*(("cls",) if self.prefix else ()), "avg", "max", "avgmax", "mean-tokens", WHOLE)
        return (*WIDTHS, WHOLE)

    def width(self, shape: Sequence[int], pooling: str) -> int:
        """How many features an output ``[b, …]`` of this shape becomes."""
        if pooling == WHOLE or self.kind == "vector":
            return prod(shape[1:])
        return shape[self.axis] * WIDTHS[pooling]


def form_of(shape: torch.Size, *, batch: int, prefix: int, patches: Collection[int] = ()) -> Form | None:
    """Read the axes off a shape; None when it has no row for each image, or is none of the three kinds.

    Images are square, and so are maps: ``[b, d, s, s]`` is channels first, ``[b, s, s, d]`` channels last.

    Args:
        shape: of a layer's output.
        batch: how many images went in.
        prefix: tokens before those of the patches, where the network has them.
        patches: how many there may be, as far as this is known.
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
    """``prefix``, or 0 in a layer that comes before these tokens are added.

    Where the number of patches tells nothing, it is taken to be a square.
    """
    if tokens <= prefix or tokens in patches:
        return 0
    if tokens - prefix in patches or _is_square(tokens - prefix):
        return prefix
    return 0 if _is_square(tokens) else prefix


def _is_square(number: int) -> bool:
    return isqrt(number) ** 2 == number


class Tokens:
    """What the tokens of a network are, as far as its forward pass has shown.

    Args:
        module: the network.
    """

    def __init__(self, module: nn.Module) -> None:
        self._prefix = prefix_tokens(module)
        self._in_windows = type(module).__name__ == "Nest"  # timm's
        self._patches: dict[str, int] = {}

    def see(self, name: str, shape: torch.Size) -> None:
        """Count the patches, if the module ``name`` is one that makes them."""
        if is_patch_embedding(name) and len(shape) in (3, 4):
            self._patches[name] = shape[1] if len(shape) == 3 else shape[2] ** 2  # [b, t, d], or a map

    def form_of(self, shape: torch.Size, *, batch: int) -> Form | None:
        """What the axes of a layer's output mean.

        A network that does not say how many tokens stand before those of its patches has as many as there are
        more than patches.
        """
        if self._in_windows and len(shape) == 4 and shape[0] == batch and shape[2] != shape[3]:
            return Form("tokens", 3)
        patches, prefix = set(self._patches.values()), self._prefix
        if not prefix and len(shape) == 3:
            more = [shape[1] - number for number in patches if 0 <= shape[1] - number <= _MOST_PREFIX_TOKENS]
            prefix = min(more, default=0)
        return form_of(shape, batch=batch, prefix=prefix, patches=patches)


def is_patch_embedding(name: str) -> bool:
    """Whether a module of this name makes tokens of the patches of an image, or of a map.

    >>> [is_patch_embedding(name) for name in ("patch_embed", "patch_embed2", "patch_embed.0", "blocks.0")]
    [True, True, True, False]
    """
    return _PATCH_EMBEDDING.fullmatch(name) is not None


def fitting_pooling(form: Form, own: str) -> str:
    """The network's own pooling where it fits a layer, otherwise the mean over its positions."""
    if own in form.poolings:
        return own
    return "mean-tokens" if form.kind == "tokens" else "avg"


def require_fit(layer: str, form: Form, pooling: str) -> None:
    """Refuse a pooling that the layer's output does not have.

    Raises:
        UnknownNameError: if there is no such pooling.
        ModelError: if it does not fit, naming those that do.
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
    """One vector an image, a new tensor, computed in float32 or better.

    ``avg`` and ``mean-tokens`` are the mean over all positions, without prefix tokens; ``max`` is the
    largest value over them; ``avgmax`` is both, one after the other; ``grid2`` is the mean of each quarter
    of a map, feature by feature; ``cls`` is the first token; ``whole`` is everything, in the layer's order.

    Args:
        output: ``[b, …]``.
        form: what its axes mean.
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
    """How many tokens stand before those of the patches: timm says so, others have a class token or none."""
    counted = getattr(module, "num_prefix_tokens", None)
    if isinstance(counted, int):
        return counted
    return int(any(isinstance(getattr(module, name, None), Tensor) for name in ("class_token", "cls_token")))


def own_pooling(module: nn.Module) -> str:
    """How the network itself makes one vector of its tokens; ``avg`` where it has none, or does not say."""
    if isinstance(getattr(module, "num_prefix_tokens", None), int):  # timm's transformers
        by_token = prefix_tokens(module) and getattr(module, "global_pool", "token") == "token"
        return "cls" if by_token else "mean-tokens"
    return "cls" if isinstance(getattr(module, "class_token", None), Tensor) else "avg"  # torchvision's
