"""Settings of feature inversion: values without the machinery, so that help pages need not load it."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ..core.errors import UsageError

Method = Literal["prior", "pixels"]

_LR = {"prior": 0.01, "pixels": 0.1}
_TV = {"prior": 0.0, "pixels": 1.0}


@dataclass(frozen=True)
class InversionSettings:
    """How an image is looked for. The defaults take seconds a layer on two cores; see ``FULL``.

    Attributes:
        method: what is optimised: ``prior``, a network that draws the image, or ``pixels``, the image itself.
        steps: of Adam.
        lr: of Adam; 0.01 for the prior and 0.1 for pixels unless given.
        tv: weight of the total variation, which smooths; 0 for the prior and 1 for pixels unless given.
        decoder_width: channels of the prior at full resolution; each halving doubles them, up to 8 times as many.
        decoder_depth: how often the prior halves the resolution.
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
            raise UsageError(f"--lr {self.lr} is no learning rate: give a number above 0.")
        if self.tv is not None and not 0 <= self.tv < math.inf:
            raise UsageError(f"--tv {self.tv} is no weight: give 0 or more.")

    @property
    def rate(self) -> float:
        """The learning rate: the one given, or the method's own."""
        return _LR[self.method] if self.lr is None else self.lr

    @property
    def smoothing(self) -> float:
        """The weight of the total variation: the one given, or the method's own."""
        return _TV[self.method] if self.tv is None else self.tv

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records; ``lr`` and ``tv`` are those that were used."""
        return {**asdict(self), "lr": self.rate, "tv": self.smoothing}


FULL = InversionSettings(steps=3100, lr=0.001, decoder_depth=6)
"""Steps, learning rate, widths and depth of the feature inversion in Ulyanov et al., CVPR 2018, for a GPU.

There the images are of 224 pixels, and the kernels of the outer levels are 7 and 5 wide; here all are 3.
"""
