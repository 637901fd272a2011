"""Settings of feature inversion, in a module that does not import torch, so that help pages load fast."""

from dataclasses import dataclass
from typing import Any, Literal

from ..core.settings import NonNegativeFloat, PositiveFloat, PositiveInt, Settings

Method = Literal["prior", "pixels"]

_LR = {"prior": 0.01, "pixels": 0.1}
_TV = {"prior": 0.0, "pixels": 1.0}


@dataclass(frozen=True)
class InversionSettings(Settings):
    """Settings of feature inversion. The defaults take seconds per layer on two cores; see ``FULL``.

    Attributes:
        method: Parametrisation of the image; ``prior`` generates it by a network (deep image prior), ``pixels``
            optimises the pixels.
        steps: Number of steps of Adam.
        lr: Learning rate of Adam; by default 0.01 for prior, 0.1 for pixels.
        tv: Weight of the total variation, which smooths the image; by default 0 for prior, 1 for pixels.
        decoder_width: Number of channels of the network of --method prior at full resolution; each level below doubles
            them, up to a factor of 8.
        decoder_depth: Number of times that the network of --method prior halves the resolution.
    """

    method: Method = "prior"
    steps: PositiveInt = 200
    lr: PositiveFloat | None = None
    tv: NonNegativeFloat | None = None
    decoder_width: PositiveInt = 16
    decoder_depth: PositiveInt = 4

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
        return {**super().to_json(), "lr": self.rate, "tv": self.smoothing}


FULL = InversionSettings(steps=3100, lr=0.001, decoder_depth=6)
"""Steps, learning rate, widths and depth of the feature inversion in Ulyanov et al., CVPR 2018, for a GPU.

There the images have 224 pixels per side and the outer levels have kernels of 7 and 5; here all kernels are 3.
"""
