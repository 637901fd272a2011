"""Low- and mid-level targets for semantic probes, which are computed from images without annotations."""

from . import colour, edges, regions, spectrum, texture  # noqa: F401, importing a file registers its targets
from .target import TARGETS

__all__ = ["TARGETS"]
