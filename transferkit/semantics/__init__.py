"""What can be read off an image without annotations: low- and mid-level targets for semantic probes."""

from . import colour, edges, regions, spectrum, texture  # noqa: F401, importing a file registers its targets
from .target import TARGETS

__all__ = ["TARGETS"]
