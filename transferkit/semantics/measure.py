"""Measurement of targets of one image or a batch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ShapeError
from .scene import Scene
from .target import chosen_targets

Measured = dict[str, NDArray[np.float32]]


def measure(square: NDArray[np.uint8], names: Sequence[str] | None = None) -> Measured:
    """Measure targets of one image, by name; shared intermediate results are computed once.

    Args:
        square: ``[3, s, s]`` uint8 RGB, the encoder's input before normalisation; ``s`` is 8 or more.
        names: names of targets; None measures all.

    Returns: ``[k]`` each, finite.

    Raises:
        UnknownNameError: if there is no such target.
        ShapeError: if ``square`` is not such an image.

    Examples:
        >>> import numpy as np
        >>> red = np.zeros((3, 32, 32), np.uint8)
        >>> red[0] = 255
        >>> {name: value.tolist() for name, value in measure(red, ["hue", "saturation"]).items()}
        {'hue': [1.0, 0.0], 'saturation': [1.0]}
    """
    scene = Scene(square)
    return {target.name: target.of(scene) for target in chosen_targets(names)}


def measure_batch(squares: NDArray[np.uint8], names: Sequence[str] | None = None) -> Measured:
    """Measure targets of several images ``[b, 3, s, s]``, ``[b, k]`` each; ``b`` may be 0.

    The numbers of each image equal those of ``measure``.

    Raises:
        UnknownNameError: if there is no such target.
        ShapeError: if ``squares`` are not such images.
    """
    if squares.ndim != 4:
        raise ShapeError(f"A batch of scenes is [b, 3, s, s], not {list(squares.shape)}: stack the images.")
    chosen = chosen_targets(names)
    measured = {t.name: np.empty((len(squares), t.dimension), np.float32) for t in chosen}
    for row, square in enumerate(squares):
        scene = Scene(square)
        for t in chosen:
            measured[t.name][row] = t.of(scene)
    return measured
