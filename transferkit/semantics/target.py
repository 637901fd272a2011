"""Protocol of targets: a target is a pure function of the square image that an encoder receives.

Read this file first. A new target consists of one function with the decorator ``target(…)``, in the file of its
kind, and one test. It must return finite numbers for every image: ``meaning`` states its value where the quantity
is undefined.

Shapes: ``b`` images, ``s`` pixels per side, ``k`` numbers per target, ``w`` pixels per side of the reduced image
of a ``Scene``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import ShapeError
from ..core.files import digest_of
from ..core.registry import Registry
from .scene import DEFINITION, Scene

Level = Literal["low", "mid"]
Kind = Literal["linear", "circular"]
Compute = Callable[[Scene], ArrayLike]


@dataclass(frozen=True)
class Target:
    """Definition of a measured quantity.

    Attributes:
        name: registered name.
        compute: function from a scene to its ``k`` numbers.
        level: ``low`` for properties of pixels and their neighbours, ``mid`` for shapes, textures and regions.
        kind: ``linear``, or ``circular``: a point (cos, sin) on the unit circle, (0, 0) if there is no angle.
        dimension: ``k``; 2 for a circular target.
        meaning: meaning and unit of the numbers, and their value if the quantity is undefined.
        source: reference of the definition.
        period: period of a circular target's angle, in turns: 1 for a direction, 0.5 for an orientation.
        version: version of the definition, which must change whenever a number changes.
    """

    name: str
    compute: Compute
    level: Level
    kind: Kind
    dimension: int
    meaning: str
    source: str
    period: float | None = None
    version: int = 1

    def __post_init__(self) -> None:
        if self.level not in get_args(Level) or self.kind not in get_args(Kind):
            raise ValueError(f"{self.name} cannot be {self.level} and {self.kind}.")
        if (self.kind == "circular") != (self.period is not None):
            raise ValueError(f"{self.name} is {self.kind}: a circular target has a period, no other has.")
        if self.dimension < 1 or (self.kind == "circular" and self.dimension != 2):
            raise ValueError(f"{self.name} is {self.kind} and cannot have {self.dimension} numbers.")

    def of(self, scene: Scene) -> NDArray[np.float32]:
        """Compute the numbers of a scene, ``[k]``.

        Raises: ShapeError: if the function returns another number of values, or a value that is not finite.
        """
        values = np.atleast_1d(np.asarray(self.compute(scene), dtype=np.float32))
        if values.shape != (self.dimension,) or not np.isfinite(values).all():
            raise ShapeError(
                f"{self.name} must give {self.dimension} finite numbers, not {values.tolist()[:4]} of shape "
                f"{list(values.shape)}: correct its function."
            )
        return values


TARGETS: Registry[Target] = Registry("semantic target", group="transferkit.targets")


def target(
    level: Level,
    *,
    k: int = 1,
    meaning: str,
    source: str,
    period: float | None = None,
    version: int = 1,
) -> Callable[[Compute], Compute]:
    """Register the decorated function as a target with the function's name.

    Args:
        level: ``low`` or ``mid``.
        k: number of values.
        meaning: meaning and unit, and the value of an image without the quantity.
        source: reference of the definition.
        period: period of the angle, in turns; None for a linear target.
        version: version of the definition; increase it when a number changes, because cached measurements and
            scores are otherwise reused.
    """

    def add(compute: Compute) -> Compute:
        name = getattr(compute, "__name__", "")
        kind: Kind = "linear" if period is None else "circular"
        TARGETS.register(name)(Target(name, compute, level, kind, k, meaning, source, period, version))
        return compute

    return add


def chosen_targets(names: Sequence[str] | None = None) -> tuple[Target, ...]:
    """Return the targets ``names``, in their order; None returns all.

    Raises: UnknownNameError: if there is no such target; the message suggests a known one.
    """
    return tuple(TARGETS[name] for name in (TARGETS if names is None else names))


def semantics_digest(names: Sequence[str] | None = None) -> str:
    """Return a hex digest, 64 characters, that changes if a number of the targets may have changed.

    It is used in cache keys. It does not depend on the order of ``names`` or on other targets.

    Raises: UnknownNameError: if there is no such target.
    """
    described = {t.name: [t.version, t.level, t.kind, t.dimension, t.period] for t in chosen_targets(names)}
    return digest_of({"scene": DEFINITION, "targets": described})
