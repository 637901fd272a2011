"""A deep image prior [1]: an untrained network that draws an image from fixed noise.

Its weights are the unknowns. What it can draw after few steps is smooth and repeats itself, as photographs
do; that is all the prior there is, and nothing was learned from any image.

The network is an hourglass with skips. Level ``i`` halves the resolution by averaging and applies two
convolutions; on the way up, what comes from below is enlarged, joined with a narrow skip of the level's
input, and convolved twice. Instance normalisation and leaky ReLU (0.2) follow every convolution but the last.

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

NOISE = 32  # channels of the input
AMPLITUDE = 0.1  # of the input, uniform from 0
SKIP = 4  # channels
_WIDEST = 8  # times the width


class DeepImagePrior(nn.Module):
    """One network for each of several images, computed together as groups of channels.

    The networks share nothing: each has its own noise and weights, drawn by its place among the images, and
    learns what it would learn alone.

    Args:
        images: how many, ``b``.
        size: pixels of a side, ``s``; at least ``2^(depth + 1)``.
        decoder_width: channels at full resolution.
        decoder_depth: how often the resolution is halved.
        seed: of noise and first weights.

    Raises: UsageError: if the images are too small to be halved so often.
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
        below = [*levels[1:], levels[-1]]  # what comes from below, level by level
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
        """The images as they are drawn now, ``[b, 3, s, s]`` in 0 … 1."""
        x, beside = self.noise, []
        for down, skip in zip(self.down, self.skip, strict=True):
            beside.append(skip(x))
            x = down(x)
        for up, side in zip(reversed(self.up), reversed(beside), strict=True):
            x = up(self._joined(side, functional.interpolate(x, size=side.shape[2:])))
        return self.last(x).reshape(self._images, 3, self._size, self._size).sigmoid()

    def _joined(self, a: Tensor, b: Tensor) -> Tensor:
        """Channels of ``a`` and ``b`` image by image: ``[1, b·p, h, w]``, ``[1, b·q, h, w]``."""
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
        """Of each image's channels by its own weights, which are not drawn yet."""
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
        """Noise, and weights uniform within ``1/√fan_in`` as torch draws them, image by image."""
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        for image in range(self._images):
            rng = generator(seed, "prior", image)
            _fill(self.noise.view(self._images, -1)[image], 0, AMPLITUDE, rng)
            for module in convolutions:
                bound = module.weight[0].numel() ** -0.5
                for parameter in (module.weight, module.bias):
                    assert parameter is not None
                    _fill(parameter.view(self._images, -1)[image], -bound, bound, rng)


def _fill(context: Tensor, low: float, high: float, rng: np.random.Generator) -> None:
    context.copy_(torch.from_numpy(rng.uniform(low, high, len(context))))
