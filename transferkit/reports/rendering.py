"""Tables and sentences in the terminal, drawn by rich."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from ..core.fitted_table import FittedTable

Part = FittedTable | RenderableType
"""One part of an output: a table, a paragraph of plain text, or anything that rich draws."""


def rendered(*parts: Part) -> Group:
    """Return parts as one renderable; each begins on a new line, and texts contain no markup."""
    return Group(*map(_renderable, parts))


def _renderable(part: Part) -> RenderableType:
    if isinstance(part, FittedTable):
        return _TableView(part)
    return Text(part) if isinstance(part, str) else part


@dataclass(frozen=True)
class _TableView:
    """A table that fits the width of the console."""

    table: FittedTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        if not self.table.rows:
            return
        if self.table.title:
            yield Text(self.table.title, style="table.title")
        for line in self.table.lines(options.max_width):
            spans = ((part.text, part.style) for part in line)
            yield Text.assemble(*spans, no_wrap=True, overflow="ignore")
        yield from map(Text, self.table.notes)  # sentences, which wrap between words
