"""Validation of annotations: invalid ones are counted and listed, or raise an error."""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import DataError
from ...core.progress import Reporter
from .boxed import Box, Fault, OnFault

EDGE_TOLERANCE = 1.0
"""Maximum extent of a box over the edge of its image in pixels without a note, because of rounding."""


@dataclass
class FaultList:
    """Collects the invalid annotations and images of one split.

    Attributes:
        name: Name of the split, such as ``voc0712 train``.
        on_error: ``skip`` lists faults, ``stop`` raises an error at the first one.
        found: Faults so far.
        over_edge: Location of a box that extends over the edge of its image by more than ``EDGE_TOLERANCE`` → extent
            in pixels.
    """

    name: str
    on_error: OnFault
    found: list[Fault] = field(default_factory=list)
    over_edge: dict[str, float] = field(default_factory=dict)

    def add(self, where: str, kind: str, detail: str = "") -> None:
        """Add one fault.

        Raises: DataError: If ``on_error`` is ``stop``.
        """
        fault = Fault(where, kind, detail)
        if self.on_error == "stop":
            raise DataError(f"{self.name}: {fault}. Correct the annotation, or skip invalid ones with --on-error skip.")
        self.found.append(fault)

    def accepts(self, where: str, box: Box, height: float, width: float) -> bool:
        """Return whether a box is valid; list an invalid one, and record one that extends over the edge.

        Raises: DataError: If the box is invalid and ``on_error`` is ``stop``.
        """
        fault = box_fault(box, height, width)
        if fault is not None:
            self.add(where, *fault)
            return False
        left, top, right, bottom = box
        over = max(-left, -top, right - width, bottom - height)
        if over > EDGE_TOLERANCE:
            self.over_edge[where] = over
        return True

    def report(self, reporter: Reporter) -> tuple[Fault, ...]:
        """Report each kind of fault and the boxes over an edge; return all faults."""
        for kind, count in Counter(fault.kind for fault in self.found).items():
            example = next(fault for fault in self.found if fault.kind == kind)
            reporter.note(f"{self.name}: {count} left out, {kind}, such as {example}")
        if self.over_edge:
            where = max(self.over_edge, key=lambda one: self.over_edge[one])
            reporter.note(
                f"{self.name}: {len(self.over_edge)} boxes extend over the edge of their image, by up to "
                f"{self.over_edge[where]:g} pixels ({where}). They are clipped in training, and scored as "
                "annotated."
            )
        return tuple(self.found)


def box_fault(box: Box, height: float, width: float) -> tuple[str, str] | None:
    """Return the kind of fault of a box and its values; None if it has an area and overlaps its image.

    Args:
        box: Left, top, right and bottom in pixels.
        height: Height of the image.
        width: Width of the image.
    """
    left, top, right, bottom = box
    if 0 <= left < right <= width and 0 <= top < bottom <= height:
        return None
    values = ", ".join(f"{value:g}" for value in box)
    if not all(map(math.isfinite, box)):
        return "box is not finite", values
    if right <= left or bottom <= top:
        return "no area", values
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return "box outside the image", f"{values} in {width:g}×{height:g}"
    return None


_WHOLE = re.compile(r"\s*([+-]?[0-9]+)(?:\.0*)?\s*")


def whole_number(value: Any) -> int | None:
    """Convert 90, 90.0, "90" or "90.0" to an integer; return None for other values.

    Booleans are not numbers.
    """
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if isinstance(value, str):
        match = _WHOLE.fullmatch(value)
        return int(match[1]) if match else None
    return int(value) if isinstance(value, float) and value.is_integer() else None


def finite_number(value: Any) -> float | None:
    """Convert 1.5, "1.5" or a list of one such value to a finite number; return None for other values."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):  # a union is slower
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def flag(value: Any, where: str) -> bool:
    """Convert 0, 1, false or true, as a number or text, to a boolean.

    Args:
        value: Value of an annotation.
        where: File or annotation, and name of the field.

    Raises: DataError: For other values, because they would silently affect the training of detectors.
    """
    number = int(value) if isinstance(value, bool) else whole_number(value)
    if number not in (0, 1):
        raise DataError(f"{where} is {value!r}: 0, 1, false and true are allowed. Correct the annotation file.")
    return bool(number)
