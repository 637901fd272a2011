"""A deep image prior [1]: an untrained network that maps fixed noise to an image.

Its weights are the unknowns. After few steps its images are smooth and self-similar, like photographs; this is the
only prior, and the network is not trained on images.

The network is an hourglass with skip connections. Level ``i`` halves the resolution by average pooling and applies
two convolutions; in the decoder, the output of the lower level is upsampled, concatenated with a narrow skip
connection from the level's input, and convolved twice. Instance normalisation and leaky
ReLU (0.2) follow every convolution but the last.

[1] Ulyanov, Vedaldi and Lempitsky, Deep image prior, CVPR 2018.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from ..core.errors import UsageError
from ..core.seeding import generator

NOISE = 32  # number of input channels
AMPLITUDE = 0.1  # maximum of the input, which is uniform from 0
SKIP = 4  # number of channels of a skip connection
_WIDEST = 8  # maximum number of channels, as a multiple of the width


class DeepImagePrior(nn.Module):
    """One network per image, computed together as groups of channels.

    The networks are independent: each has its own noise and weights, which depend on its index, and its result does
    not depend on the number of images.

    Args:
        images: number of images, ``b``.
        size: pixels per side, ``s``; at least ``2^(depth + 1)``.
        decoder_width: channels at full resolution.
        decoder_depth: number of times the resolution is halved.
        seed: seed of the noise and the initial weights.

    Raises: UsageError: if the images are too small for this depth.
    """

    noise: Tensor

    def __init__(self, images: int, size: int, *, decoder_width: int, decoder_depth: int, seed: int) -> None:
        super().__init__()
        if size < 2 ** (decoder_depth + 1):
            raise UsageError(
                f"A prior of depth {decoder_depth} draws squares of {2 ** (decoder_depth + 1)} pixels or more, "
                f"not {size}. "
                "Lower --decoder-depth or raise --size."
            )
        self._images, self._size = images, size
        levels = [decoder_width * min(2**level, _WIDEST) for level in range(decoder_depth)]
        below = [*levels[1:], levels[-1]]  # channels from the lower level
        steps = list(pairwise([NOISE, *levels]))
        self.down = nn.ModuleList(self._halving(before, after) for before, after in steps)
        self.skip = nn.ModuleList(self._layer(before, SKIP, 1) for before, _ in steps)
        self.up = nn.ModuleList(
            nn.Sequential(self._layer(SKIP + lower, own, 3), self._layer(own, own, 1))
            for lower, own in zip(below, levels, strict=True)
        )
        self.last = self._convolution(levels[0], 3, 1)
        self.register_buffer("noise", torch.empty(1, images * NOISE, size, size))
        self._draw(seed)

    def forward(self) -> Tensor:
        """Compute the current images, ``[b, 3, s, s]`` in 0 … 1."""
        x, skips = self.noise, []
        for down, skip in zip(self.down, self.skip, strict=True):
            skips.append(skip(x))
            x = down(x)
        for up, side in zip(reversed(self.up), reversed(skips), strict=True):
            x = up(self._joined(side, functional.interpolate(x, size=side.shape[2:])))
        return self.last(x).reshape(self._images, 3, self._size, self._size).sigmoid()

    def _joined(self, a: Tensor, b: Tensor) -> Tensor:
        """Concatenate the channels of ``a`` and ``b`` per image: ``[1, b·p, h, w]``, ``[1, b·q, h, w]``."""
        grouped = [part.unflatten(1, (self._images, -1)) for part in (a, b)]
        return torch.cat(grouped, dim=2).flatten(1, 2)  # [1, b·(p + q), h, w]

    def _halving(self, before: int, after: int) -> nn.Sequential:
        return nn.Sequential(nn.AvgPool2d(2), self._layer(before, after, 3), self._layer(after, after, 3))

    def _layer(self, before: int, after: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(
            self._convolution(before, after, kernel),
            nn.InstanceNorm2d(self._images * after, affine=True),
            nn.LeakyReLU(0.2, inplace=True),
        )

    def _convolution(self, before: int, after: int, kernel: int) -> nn.Module:
        """Return a convolution with separate weights per image, not initialised."""
        return skip_init(
            nn.Conv2d,
            self._images * before,
            self._images * after,
            kernel,
            padding=kernel // 2,
            groups=self._images,
        )

    @torch.no_grad()
    def _draw(self, seed: int) -> None:
        """Draw noise, and weights uniform in ``±1/√fan_in`` as in torch, image by image."""
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        for image in range(self._images):
            rng = generator(seed, "prior", image)
            _fill(self.noise.view(self._images, -1)[image], 0, AMPLITUDE, rng)
            for module in convolutions:
                bound = module.weight[0].numel() ** -0.5
                for parameter in (module.weight, module.bias):
                    assert parameter is not None
                    _fill(parameter.view(self._images, -1)[image], -bound, bound, rng)


def _fill(values: Tensor, low: float, high: float, rng: np.random.Generator) -> None:
    values.copy_(torch.from_numpy(rng.uniform(low, high, len(values))))
