"""Published data sets: the twelve of the study [1], the twelve of Kornblith et al. [2], and sets for pretraining.

Every module registers its data sets when it is imported. In the set of Kornblith et al., CUB-200 replaces Birdsnap,
which is no longer available; VOC2007 has several labels per image.

[1] Islam et al., A broad study on the transferability of visual representations with contrastive learning, ICCV 2021.
[2] Kornblith, Shlens and Le, Do better ImageNet models transfer better?, CVPR 2019.
"""

from ..data.dataset import DATASETS
from ..data.published import PUBLISHED
from . import (  # noqa: F401  (each registers its data sets)
    cifar,
    illustrative,
    image_lists,
    imagenet,
    medical,
    miniimagenet,
    natural,
    objects,
    satellite,
    symbolic,
    texture,
    voc2007,
)
from .opening import PublishedOpener

PAPER12 = (
    "cropdisease",
    "deepweeds",
    "flowers102",
    "eurosat",
    "resisc45",
    "omniglot",
    "svhn",
    "isic",
    "chestx",
    "kaokore",
    "sketch",
    "dtd",
)
"""Names in the order of the table of the study, by domain."""

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
"""Names in the order of the tables of Kornblith et al.; ``dtd`` and ``flowers102`` are also in ``PAPER12``."""

for _name in dict.fromkeys((*PAPER12, *KORNBLITH12)):
    DATASETS.register(_name)(PublishedOpener(PUBLISHED[_name]))

__all__ = ["KORNBLITH12", "PAPER12", "PUBLISHED"]
