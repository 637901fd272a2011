"""Mid level: the salient region, its place, its size and its parts."""

import numpy as np
from numpy.typing import NDArray

from .colour import mean_hue
from .scene import Scene, bytes_of
from .target import target

_SOURCE = "border contrast, Wei et al., Geodesic saliency using background priors, ECCV 2012"


@target(
    "mid",
    k=2,
    meaning="centre of the salient pixels, x to the right and y down, 0 … 1; (0.5, 0.5) if there are none",
    source=_SOURCE,
)
def salient_position(scene: Scene) -> NDArray[np.float64]:
    """Where the thing is."""
    mask, count = scene.salient
    if not count:
        return np.array([0.5, 0.5])
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / len(mask)


@target("mid", meaning="salient share of the image, 0 … 1; 0 if nothing stands out", source=_SOURCE)
def salient_size(scene: Scene) -> float:
    """How much of the image the thing takes."""
    return float(scene.salient[0].mean())


@target(
    "mid",
    meaning="natural logarithm of 1 + the number of salient regions; 0 if nothing stands out",
    source=_SOURCE,
)
def salient_count(scene: Scene) -> float:
    """How many things there are."""
    return float(np.log1p(scene.salient[1]))


@target(
    "mid",
    k=2,
    period=1.0,
    meaning="the hue of the salient pixels, as ``hue`` is of all; (0, 0) if nothing stands out or it is gray",
    source=_SOURCE,
)
def salient_hue(scene: Scene) -> NDArray[np.float32]:
    """Which colour the thing has."""
    return mean_hue(bytes_of(scene.colours[:, scene.salient[0]]))
