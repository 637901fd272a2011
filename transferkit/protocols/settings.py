"""Settings of the protocols: values without the machinery, so that help pages need not load it."""

from dataclasses import dataclass

from ..core.errors import UsageError


@dataclass(frozen=True)
class ExtractSettings:
    """How features are taken; whatever shapes them is part of the cache key.

    Attributes:
        layers: ``last``, ``stages``, ``all`` or module-name patterns.
        pooling: how a map becomes a vector: ``avg``, ``max``, ``avgmax``, ``grid2``, ``cls``,
            ``mean-tokens`` or ``whole``, which keeps all of it; the encoder's own unless given.
        size: pixels of the square the encoder sees; the size it was trained for unless given.
        variant: how each image is changed first, such as ``rotate:90``, ``blur:3`` or ``augment:0``; ``test``
            leaves it as it is.
        dtype: of the stored features, ``float16`` or ``float32``.
        device: of forward passes: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …; the probes linear, knn and
            fewshot take the first GPU that there is, unless CUDA_VISIBLE_DEVICES hides it.
        precision: ``auto``, ``fp32`` or ``bf16`` of the forward pass.
        batch: images a forward pass; 32 on a CPU and 256 on a GPU unless given.
        workers: decoding processes; a number that suits the cores unless given.
        on_error: ``keep`` the row of a file that cannot be decoded, marked, or ``stop``.
    """

    layers: tuple[str, ...] = ("last",)
    pooling: str | None = None
    size: int | None = None
    variant: str = "test"
    dtype: str = "float16"
    device: str = "auto"
    precision: str = "auto"
    batch: int | None = None
    workers: int | None = None
    on_error: str = "keep"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("dtype", self.dtype, ("float16", "float32")),
            ("on-error", self.on_error, ("keep", "stop")),
        ):
            if value not in known:
                raise UsageError(f"--{name} {value!r} is unknown. Choose from: {', '.join(known)}.")
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"--batch {self.batch} is too small: give 1 or more.")
        if self.workers is not None and self.workers < 0:
            raise UsageError(f"--workers {self.workers} is too small: give 0 or more.")
