"""Embeddings, banks and small networks that several tests of this room draw from."""

import torch
from torch import nn
from torch.nn.functional import normalize

from transferkit.losses.pretext import PretextSettings
from transferkit.losses.queue import Bank

SIDE = 4
FEATURES = 6
SMALL = PretextSettings(temperature=0.2, projection_dim=5, queue_size=61, ema_momentum=0.9, bn_splits=4)


def random(seed):
    return torch.Generator().manual_seed(seed)


def unit_rows(n, p, *, seed, dtype=torch.float64):
    return normalize(torch.randn(n, p, generator=random(seed), dtype=torch.float64), dim=1).to(dtype)


def classes(n, c, *, seed):
    return torch.randint(c, (n,), generator=random(seed))


def full_bank(keys, labels=None):
    labels = torch.full((len(keys),), -1) if labels is None else labels
    return Bank(keys, labels, torch.ones(len(keys), dtype=torch.bool))


def rotation(p, *, seed):
    return torch.linalg.qr(torch.randn(p, p, generator=random(seed), dtype=torch.float64)).Q


def two_views(n, *, seed, c=3, dtype=torch.float32):
    """Images of ``c`` classes that differ in their mean colour, twice with noise, and their labels."""
    labels = classes(n, c, seed=seed)
    centres = torch.randn(c, 3, SIDE, SIDE, generator=random(99))
    noise = torch.randn(3, n, 3, SIDE, SIDE, generator=random(seed + 1))
    images = centres[labels] + noise[0]
    return [(images + 0.1 * noise[view]).to(dtype) for view in (1, 2)], labels


class Encoder(nn.Module):
    """A small network, with or without batch statistics."""

    def __init__(self, *, batch_norm: bool, seed: int = 0):
        super().__init__()
        self.first = nn.Linear(3 * SIDE * SIDE, 8)
        self.norm = nn.BatchNorm1d(8) if batch_norm else nn.LayerNorm(8)
        self.last = nn.Linear(8, FEATURES)
        weights(self, seed)

    def forward(self, images):
        return self.last(self.norm(self.first(images.flatten(1))).relu())


def weights(module, seed):
    """Draw new values for every parameter of ``module``."""
    generator = random(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
