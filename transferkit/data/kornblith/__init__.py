"""The twelve data sets of Kornblith et al. [1], as published.

CUB-200 replaces Birdsnap, which is no longer available. VOC2007 has several labels per image.

[1] Kornblith, Shlens and Le, Do better ImageNet models transfer better?, CVPR 2019.
"""

from ..dataset import DATASETS
from ..downstream.opening import PublishedOpener
from ..downstream.published import PUBLISHED
from . import caltech101, cars, cifar, listed, voc2007  # noqa: F401  (each registers itself)

KORNBLITH12 = (
    "food101",
    "cifar10",
    "cifar100",
    "cub200",
    "sun397",
    "cars",
    "aircraft",
    "voc2007",
    "dtd",
    "pets",
    "caltech101",
    "flowers102",
)
"""Names in the order of their tables; ``dtd`` and ``flowers102`` are also in ``PAPER12``."""

for _name in KORNBLITH12:
    if _name not in DATASETS:
        DATASETS.register(_name)(PublishedOpener(PUBLISHED[_name]))

__all__ = ["KORNBLITH12"]
