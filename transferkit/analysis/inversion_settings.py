"""Settings of feature inversion, in a module that does not import torch, so that help pages load fast."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ..core.errors import UsageError

Method = Literal["prior", "pixels"]

_LR = {"prior": 0.01, "pixels": 0.1}
_TV = {"prior": 0.0, "pixels": 1.0}


@dataclass(frozen=True)
class InversionSettings:
    """Settings of feature inversion. The defaults take seconds per layer on two cores; see ``FULL``.

    Attributes:
        method: Parametrisation of the image: ``prior`` (deep image prior) or ``pixels``.
        steps: Number of steps of Adam.
        lr: Learning rate of Adam; by default 0.01 for ``prior`` and 0.1 for ``pixels``.
        tv: Weight of the total variation, which smooths; by default 0 for ``prior`` and 1 for ``pixels``.
        decoder_width: Channels of the prior at full resolution; each downsampling doubles them, up to a factor of 8.
        decoder_depth: Number of times the prior halves the resolution.
    """

    method: Method = "prior"
    steps: int = 200
    lr: float | None = None
    tv: float | None = None
    decoder_width: int = 16
    decoder_depth: int = 4

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            known = ", ".join(get_args(Method))
            raise UsageError(f"--method {self.method!r} is unknown. Choose from: {known}.")
        for name, value in (
            ("steps", self.steps),
            ("decoder_width", self.decoder_width),
            ("decoder_depth", self.decoder_depth),
        ):
            if value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value} is too small: give 1 or more.")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise UsageError(f"--lr {self.lr} is invalid: give a learning rate above 0.")
        if self.tv is not None and not 0 <= self.tv < math.inf:
            raise UsageError(f"--tv {self.tv} is invalid: give a weight of 0 or more.")

    @property
    def rate(self) -> float:
        """Learning rate, or the default of the method."""
        return _LR[self.method] if self.lr is None else self.lr

    @property
    def smoothing(self) -> float:
        """Weight of the total variation, or the default of the method."""
        return _TV[self.method] if self.tv is None else self.tv

    def to_json(self) -> dict[str, Any]:
        """Return plain values for records, with ``lr`` and ``tv`` replaced by the values in use."""
        return {**asdict(self), "lr": self.rate, "tv": self.smoothing}


FULL = InversionSettings(steps=3100, lr=0.001, decoder_depth=6)
"""Steps, learning rate, widths and depth of the feature inversion in Ulyanov et al., CVPR 2018, for a GPU.

There the images have 224 pixels per side and the outer levels have kernels of 7 and 5; here all kernels are 3.
"""
