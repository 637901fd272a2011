"""Annotations that cannot be meant: found, counted, listed; left out or refused."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...core.errors import DataError
from ...core.progress import Reporter
from .boxed import Box, Fault, OnFault

SLACK = 1.0
"""Pixels by which a box may reach over the edge of its image: what rounding does. It is cut there."""


@dataclass
class Faults:
    """Gathers what is left out of one split.

    Attributes:
        name: of the split, such as ``voc0712 train``.
        on_error: ``stop`` refuses the first one.
        found: so far.
    """

    name: str
    on_error: OnFault
    found: list[Fault] = field(default_factory=list)

    def add(self, where: str, kind: str, detail: str = "") -> None:
        """List one.

        Raises: DataError: with ``stop``.
        """
        fault = Fault(where, kind, detail)
        if self.on_error == "stop":
            raise DataError(
                f"{self.name}: {fault}. Mend the annotation, or leave such ones out with --on-error skip."
            )
        self.found.append(fault)

    def told(self, reporter: Reporter) -> tuple[Fault, ...]:
        """All of them, once ``reporter`` was told how many of each kind there are."""
        for kind, count in Counter(fault.kind for fault in self.found).items():
            example = next(fault for fault in self.found if fault.kind == kind)
            reporter.note(f"{self.name}: {count} left out, {kind}, such as {example}")
        return tuple(self.found)


def checked_box(box: Sequence[float], height: float, width: float) -> Box | tuple[str, str]:
    """The box, cut at the image's edges, or the kind of its fault and its values.

    Args:
        box: left, top, right, bottom in pixels.
        height: of the image.
        width: of the image.
    """
    values = ", ".join(f"{value:g}" for value in box)
    left, top, right, bottom = box
    if not all(map(math.isfinite, box)):
        return "box is not finite", values
    if right <= left or bottom <= top:
        return "no area", values
    if left < -SLACK or top < -SLACK:
        return "negative box", values
    if right > width + SLACK or bottom > height + SLACK:
        return "box outside the image", f"{values} in {width:g}×{height:g}"
    cut = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    if cut[2] <= cut[0] or cut[3] <= cut[1]:
        return "box outside the image", f"{values} in {width:g}×{height:g}"
    return cut
