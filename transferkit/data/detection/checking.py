"""Annotations that cannot be meant: found, counted, listed; left out or refused."""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import DataError
from ...core.progress import Reporter
from .boxed import Box, Fault, OnFault

SLACK = 1.0
"""Pixels by which a box may extend over the edge of its image without a note: what rounding does."""


@dataclass
class Faults:
    """Gathers what is left out of one split.

    Attributes:
        name: of the split, such as ``voc0712 train``.
        on_error: ``stop`` refuses the first one.
        found: so far.
        over: where a box extends over the edge of its image by more than ``SLACK``, and by how many pixels.
    """

    name: str
    on_error: OnFault
    found: list[Fault] = field(default_factory=list)
    over: dict[str, float] = field(default_factory=dict)

    def add(self, where: str, kind: str, detail: str = "") -> None:
        """List one.

        Raises: DataError: with ``stop``.
        """
        fault = Fault(where, kind, detail)
        if self.on_error == "stop":
            raise DataError(f"{self.name}: {fault}. Mend the annotation, or leave such ones out with --on-error skip.")
        self.found.append(fault)

    def accepts(self, where: str, box: Box, height: float, width: float) -> bool:
        """Whether a box can be meant; lists it if not, and notes one that extends over the image's edge.

        Raises: DataError: as ``add``.
        """
        fault = box_fault(box, height, width)
        if fault is not None:
            self.add(where, *fault)
            return False
        left, top, right, bottom = box
        over = max(-left, -top, right - width, bottom - height)
        if over > SLACK:
            self.over[where] = over
        return True

    def told(self, reporter: Reporter) -> tuple[Fault, ...]:
        """All of them, once ``reporter`` was told of each kind and of boxes over an edge."""
        for kind, count in Counter(fault.kind for fault in self.found).items():
            example = next(fault for fault in self.found if fault.kind == kind)
            reporter.note(f"{self.name}: {count} left out, {kind}, such as {example}")
        if self.over:
            where = max(self.over, key=lambda one: self.over[one])
            reporter.note(
                f"{self.name}: {len(self.over)} boxes extend over the edge of their image, by up to "
                f"{self.over[where]:g} pixels ({where}). They are cut there in training, and scored as "
                "annotated."
            )
        return tuple(self.found)


def box_fault(box: Box, height: float, width: float) -> tuple[str, str] | None:
    """The kind of a box's fault and its values; None for a box that has an area and overlaps its image.

    Args:
        box: left, top, right, bottom in pixels.
        height: of the image.
        width: of the image.
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
    """The integer that a value of an annotation stands for: 90, 90.0, "90" or "90.0"; None for anything else.

    True and false are no numbers.
    """
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if isinstance(value, str):
        match = _WHOLE.fullmatch(value)
        return int(match[1]) if match else None
    return int(value) if isinstance(value, float) and value.is_integer() else None


def finite_number(value: Any) -> float | None:
    """The number that a value stands for: 1.5, "1.5" or a list of one of them; None for anything else."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):  # a union takes longer
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def flag(value: Any, where: str) -> bool:
    """What 0, 1, false or true stands for, as a number or as text of one.

    Args:
        value: of an annotation.
        where: the file or annotation, and the field's name.

    Raises: DataError: for anything else, as it would decide silently what a detector is trained on.
    """
    number = int(value) if isinstance(value, bool) else whole_number(value)
    if number not in (0, 1):
        raise DataError(f"{where} is {value!r}: 0, 1, false and true are allowed. Correct the annotation file.")
    return bool(number)
