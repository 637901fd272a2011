"""Mid level: position, size, number and hue of salient regions."""

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
    """Compute the centre of the salient pixels."""
    mask, count = scene.salient
    if not count:
        return np.array([0.5, 0.5])
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / len(mask)


@target("mid", meaning="salient fraction of the image, 0 … 1; 0 if nothing is salient", source=_SOURCE)
def salient_size(scene: Scene) -> float:
    """Compute the fraction of salient pixels."""
    return float(scene.salient[0].mean())


@target(
    "mid",
    meaning="natural logarithm of 1 + the number of salient regions; 0 if nothing is salient",
    source=_SOURCE,
)
def salient_count(scene: Scene) -> float:
    """Compute the logarithm of the number of regions."""
    return float(np.log1p(scene.salient[1]))


@target(
    "mid",
    k=2,
    period=1.0,
    meaning="the hue of the salient pixels, as ``hue`` is of all; (0, 0) if nothing is salient or it is gray",
    source=_SOURCE,
)
def salient_hue(scene: Scene) -> NDArray[np.float32]:
    """Compute the hue of the salient pixels."""
    return mean_hue(bytes_of(scene.colours[:, scene.salient[0]]))
