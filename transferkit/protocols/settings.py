"""Settings of feature extraction; importing them does not import torch, so that help pages are fast."""

from dataclasses import dataclass
from typing import Annotated

from ..core.settings import NonNegativeInt, OneOf, PositiveInt, Settings


@dataclass(frozen=True)
class ExtractSettings(Settings):
    """Settings of feature extraction; all that change the features are part of the cache key.

    Attributes:
        layers: layers whose features are used: ``last`` (the input of the classifier), ``stages`` (the output of each
            stage, and last), ``all`` (each block too), or module names with wildcards, such as layer* or blocks.[369].
        pooling: pooling of feature maps and tokens to one vector per image: ``avg`` or ``mean-tokens`` (mean over
            positions), ``max``, ``avgmax`` (both), ``grid2`` (means of four quarters), ``cls`` (class token) or
            ``whole`` (all values); by default the model's own where it fits, else the mean.
        size: input size of the model in pixels per side; by default the size that it was trained for.
        variant: change of every image of all splits before it is encoded: rotate:90, :180 or :270 (degrees), noise,
            blur, contrast or jpeg with :1 to :5 (severity), patch:0 to :8 (one of nine patches, enlarged), or augment:N
            (the N-th random crop and flip). ``test`` changes nothing.
        dtype: data type of the stored features: ``float16`` or ``float32``.
        device: device, such as cpu, cuda or cuda:1; ``auto`` selects a GPU if there is one.
        precision: precision of the forward passes, fp32 or bf16; ``auto`` selects bf16 where the hardware supports it,
            else fp32.
        batch: batch size of the forward passes in images; by default 32 on a CPU, 256 on a GPU.
        workers: number of data-loading processes; by default chosen from the number of CPU cores.
        on_error: handling of images that cannot be decoded; ``keep`` continues without them and counts them in the
            results, ``stop`` ends with an error.
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
