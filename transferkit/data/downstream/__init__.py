"""The twelve downstream data sets of the study, as published; one module each."""

from ..dataset import DATASETS
from . import (  # noqa: F401  (each registers itself)
    chestx,
    cropdisease,
    deepweeds,
    dtd,
    eurosat,
    flowers102,
    isic,
    kaokore,
    omniglot,
    resisc45,
    sketch,
    svhn,
)
from .opening import PublishedOpener
from .published import PUBLISHED

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

for _name in PAPER12:
    DATASETS.register(_name)(PublishedOpener(PUBLISHED[_name]))

__all__ = ["PAPER12", "PUBLISHED"]
