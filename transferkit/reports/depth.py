"""Numbers over the depth of networks: one curve a model, one panel a data set or level."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.results import Result
from .figures import Line, Words, curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS = 6


def depth_figure(
    records: Sequence[Result], y: str, *, panel: Callable[[Result], str] = lambda record: record.data
) -> "Figure":
    """Values by how far along its network a layer lies, 0 the image and 1 the last layer.

    Of more panels than fit, those that come first are drawn.

    Args:
        records: in order of depth.
        y: what the values are.
        panel: which panel a record belongs to.
    """
    panels = list(dict.fromkeys(panel(record) for record in records))[:MOST_PANELS]
    drawn = {name: _lines([r for r in records if panel(r) == name]) for name in panels}
    return curves(drawn, Words("", "depth", y))


def _lines(records: Sequence[Result]) -> Mapping[str, Line]:
    lines = {}
    for model in dict.fromkeys(record.model for record in records):
        own = [record for record in records if record.model == model]
        places = [(index + 1) / len(own) for index in range(len(own))]
        lines[model] = Line(places, [r.value for r in own], [r.ci_low for r in own], [r.ci_high for r in own])
    return lines
