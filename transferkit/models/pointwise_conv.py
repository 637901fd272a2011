"""Convolutions with a single output pixel, computed as matrix products.

Small images end in maps of one pixel, on which most weights of a padded kernel only multiply padding. Convolution
libraries compute these products too, and their backward pass on a CPU takes ten times as long as the matrix
product without them.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn.functional import linear


def pointwise_conv(network: nn.Module) -> None:
    """Let every plain convolution of ``network`` compute single-pixel outputs as matrix products.

    Outputs and gradients are equal up to rounding. Outputs of other sizes are computed as before.

    Args:
        network: changed in place; its parameters keep their names.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.forward = partial(_forward, module)  # type: ignore[method-assign]


def _is_plain(module: nn.Conv2d) -> bool:
    """Return whether the convolution has zero padding, one group and no dilation."""
    padded = isinstance(module.padding, tuple) and module.padding_mode == "zeros"
    return padded and module.groups == 1 and module.dilation == (1, 1)


def _forward(module: nn.Conv2d, x: Tensor) -> Tensor:
    sides, kernel, padding, stride = x.shape[2:], module.kernel_size, module.padding, module.stride
    assert not isinstance(padding, str)  # a plain convolution has numeric padding
    single = all((h + 2 * p - k) // s == 0 for h, k, p, s in zip(sides, kernel, padding, stride, strict=True))
    if not single:
        return nn.Conv2d.forward(module, x)
    (top, left), (tall, wide) = padding, sides
    weight = module.weight[:, :, top : top + tall, left : left + wide]  # weights on the image [o, i, h, w]
    tall, wide = weight.shape[2:]  # smaller than the image if the stride skips its end
    return linear(x[:, :, :tall, :wide].flatten(1), weight.flatten(1), module.bias)[:, :, None, None]
