"""The contract of this room: a target is a pure function over the square that an encoder saw.

Read this first, then any sibling. A new target is one function under ``target(…)``, in the file of its kind,
and one test. It must give finite numbers for every image: say in ``meaning`` what it gives where it is
undefined.

Shapes: ``b`` images, ``s`` pixels a side, ``k`` numbers of one target, ``w`` pixels a side of the reduced
image of a ``Scene``.
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
    """A quantity, and what there is to know about it.

    Attributes:
        name: as registered.
        compute: gives the ``k`` numbers of a scene.
        level: ``low`` for what single pixels and their neighbours tell, ``mid`` for what they form.
        kind: ``linear``, or ``circular``: a point (cos, sin) on the unit circle, (0, 0) where no angle is.
        dimension: ``k``; 2 for a circular target.
        meaning: what the numbers say, with their unit, and what they are where the quantity is undefined.
        source: where the definition comes from.
        period: of a circular target's angle, in turns: 1 for a direction, 0.5 for an orientation.
        version: of the definition; every change of a number needs a new one.
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
        """The numbers of a scene: ``[k]``.

        Raises: ShapeError: if the function gave another number of them, or one that is not finite.
        """
        values = np.atleast_1d(np.asarray(self.compute(scene), dtype=np.float32))
        if values.shape != (self.dimension,) or not np.isfinite(values).all():
            raise ShapeError(
                f"{self.name} must give {self.dimension} finite numbers, not {values.tolist()[:4]} of shape "
                f"{list(values.shape)}: correct its function."
            )
        return values


TARGETS: Registry[Target] = Registry("semantic target")


def target(
    level: Level,
    *,
    k: int = 1,
    meaning: str,
    source: str,
    period: float | None = None,
    version: int = 1,
) -> Callable[[Compute], Compute]:
    """Register the decorated function as the target that bears its name.

    Args:
        level: ``low`` or ``mid``.
        k: how many numbers it gives.
        meaning: with the unit, and what an image without the quantity gets.
        source: of the definition.
        period: of the angle, in turns; given, the target is circular.
        version: of the definition; raise it when a change of the function changes a number, or what was
            measured and scored before is used again.
    """

    def add(compute: Compute) -> Compute:
        name = getattr(compute, "__name__", "")
        kind: Kind = "linear" if period is None else "circular"
        TARGETS.register(name)(Target(name, compute, level, kind, k, meaning, source, period, version))
        return compute

    return add


def chosen_targets(names: Sequence[str] | None = None) -> tuple[Target, ...]:
    """The targets called ``names``, in their order; all of them if None.

    Raises: UnknownNameError: naming the nearest known target.
    """
    return tuple(TARGETS[name] for name in (TARGETS if names is None else names))


def semantics_digest(names: Sequence[str] | None = None) -> str:
    """Hex digest, 64 characters, that changes whenever a number of the targets may have changed.

    For cache keys. It does not depend on the order of ``names``, nor on targets that are not among them.

    Raises: UnknownNameError: if there is no such target.
    """
    described = {t.name: [t.version, t.level, t.kind, t.dimension, t.period] for t in chosen_targets(names)}
    return digest_of({"scene": DEFINITION, "targets": described})
