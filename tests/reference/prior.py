"""A deep image prior for one image, level by level, with the weights of one group of a grouped network."""

import torch
from torch.nn import functional


def drawing(prior, image: int, images: int):
    """``[3, s, s]`` as drawn by the ``image``-th network of ``prior``, computed alone."""

    def part(tensor):
        return tensor.detach().chunk(images)[image]

    def convolved(x, layer):
        return functional.conv2d(x, part(layer.weight), part(layer.bias), padding=layer.kernel_size[0] // 2)

    def activated(x, convolution, norm):
        x = convolved(x, convolution)
        deviation = (x.var(dim=(2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
        x = (x - x.mean(dim=(2, 3), keepdim=True)) / deviation
        x = x * part(norm.weight).view(1, -1, 1, 1) + part(norm.bias).view(1, -1, 1, 1)
        return torch.where(x > 0, x, 0.2 * x)

    def level(x, number):
        if number == len(prior.down):
            return x
        side = activated(x, *prior.skip[number][:2])
        small = functional.avg_pool2d(x, 2)
        for layer in prior.down[number][1:]:
            small = activated(small, *layer[:2])
        small = level(small, number + 1)
        rows = [int(y * small.shape[2] / side.shape[2]) for y in range(side.shape[2])]
        columns = [int(y * small.shape[3] / side.shape[3]) for y in range(side.shape[3])]
        large = small[:, :, rows][:, :, :, columns]
        x = torch.cat([side, large], dim=1)
        for layer in prior.up[number]:
            x = activated(x, *layer[:2])
        return x

    noise = prior.noise.chunk(images, dim=1)[image]
    return torch.sigmoid(convolved(level(noise, 0), prior.last))[0]
