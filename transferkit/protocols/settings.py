"""Settings of feature extraction; importing them does not import torch, so that help pages are fast."""

from dataclasses import dataclass
from typing import Annotated

from ..core.settings import NonNegativeInt, OneOf, PositiveInt, Settings


@dataclass(frozen=True)
class ExtractSettings(Settings):
    """Settings of feature extraction; all that change the features are part of the cache key.

    Attributes:
        layers: layers to extract: ``last``, ``stages``, ``all`` or module-name patterns.
        pooling: pooling of feature maps and tokens to vectors: ``avg``, ``max``, ``avgmax``, ``grid2``, ``cls``,
            ``mean-tokens``, or ``whole``, which flattens the output; by default the encoder's own.
        size: input size of the encoder in pixels per side; by default the size that it was trained for.
        variant: transformation of each image before encoding, such as ``rotate:90``, ``blur:3`` or ``augment:0``;
            ``test`` applies none.
        dtype: data type of the stored features: ``float16`` or ``float32``.
        device: device of the forward passes: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` … The probes linear, knn and
            fewshot use the first visible GPU; CUDA_VISIBLE_DEVICES can hide it.
        precision: precision of the forward passes: ``auto``, ``fp32`` or ``bf16``.
        batch: batch size of the forward passes in images; by default 32 on a CPU and 256 on a GPU.
        workers: number of data-loading processes; by default chosen from the number of CPU cores.
        on_error: handling of images that cannot be decoded: ``keep`` their rows and mark them as skipped, or ``stop``.
    """

    layers: tuple[str, ...] = ("last",)
    pooling: str | None = None
    size: PositiveInt | None = None
    variant: str = "test"
    dtype: Annotated[str, OneOf(("float16", "float32"))] = "float16"
    device: str = "auto"
    precision: str = "auto"
    batch: PositiveInt | None = None
    workers: NonNegativeInt | None = None
    on_error: Annotated[str, OneOf(("keep", "stop"))] = "keep"
