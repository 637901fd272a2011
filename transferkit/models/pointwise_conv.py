"""Convolutions that give a single pixel, computed as the matrix products that they are.

Small images end in maps of one pixel. What a padded kernel sees of such a map is a part of itself, the rest
falls on padding; libraries for convolutions multiply that rest too, and on a CPU their backward pass takes
ten times what the product takes.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn.functional import linear


def pointwise_conv(network: nn.Module) -> None:
    """Let every plain convolution of ``network`` that gives one pixel for an image be a matrix product.

    Outputs and gradients are the same but for rounding. Other sizes of image go the usual way.

    Args:
        network: changed in place; its parameters keep their names.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.forward = partial(_convolved, module)  # type: ignore[method-assign]


def _is_plain(module: nn.Conv2d) -> bool:
    """Whether zeros surround the image, and every output sees every input channel without gaps."""
    padded = isinstance(module.padding, tuple) and module.padding_mode == "zeros"
    return padded and module.groups == 1 and module.dilation == (1, 1)


def _convolved(module: nn.Conv2d, x: Tensor) -> Tensor:
    sides, kernel, padding, stride = x.shape[2:], module.kernel_size, module.padding, module.stride
    assert not isinstance(padding, str)  # as plain ones never are
    single = all((h + 2 * p - k) // s == 0 for h, k, p, s in zip(sides, kernel, padding, stride, strict=True))
    if not single:
        return nn.Conv2d.forward(module, x)
    (top, left), (tall, wide) = padding, sides
    seen = module.weight[:, :, top : top + tall, left : left + wide]  # [o, i, h, w]: the image's place
    tall, wide = seen.shape[2:]  # less than the image where the stride leaves its end out
    return linear(x[:, :, :tall, :wide].flatten(1), seen.flatten(1), module.bias)[:, :, None, None]
