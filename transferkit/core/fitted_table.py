"""Text tables that fit the width of the terminal without splitting a number, a heading or a name."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

GAP = "  "
LONG_NAME = 40
"""Number of characters above which names are shortened at any width."""

_ABSOLUTE = re.compile(r"^(?:\w+:)?/(?P<path>.*)$")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        heading: text above the column.
        right: the column is aligned to the right, as numbers are.
        constant: text of the caption that replaces the column when all cells are equal, with ``{}`` for the
            cell; empty for a column that always stays.
        group: rank in which the column moves into headings above groups of rows when the table is too wide;
            0 for a column that always stays.
        optional: the column is left out when the table is too wide with all ranks moved.
    """

    heading: str
    right: bool = False
    constant: str = ""
    group: int = 0
    optional: bool = False


@dataclass(frozen=True)
class Name:
    """A cell that may be shortened.

    Attributes:
        full: the name.
        note: text that follows the name, short or full.
    """

    full: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.full} {self.note}".rstrip()


@dataclass(frozen=True)
class FittedTable:
    """A table whose layout adapts to the available width when it is printed.

    Constant columns become a caption. If the table is too wide, or a name is very long, names are shortened and
    spelled out below the table; if that is not enough, columns become headings above groups of rows, in the order
    of ``Column.group``. Nothing is printed without rows.

    Attributes:
        columns: columns from left to right.
        rows: rows with one text or name per column.
        notes: lines below the table.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Name]]
    notes: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        if not self.rows:
            return
        for line in self._lines(options.max_width):
            line.no_wrap, line.overflow = True, "ignore"
            yield line
        yield from map(Text, self.notes)  # sentences, which wrap between words

    def _lines(self, width: int) -> Iterator[Text]:
        """Yield lines of at most ``width`` characters, if the names and numbers allow it."""
        layout = next((fit for fit in self._layouts() if fit.width <= width), None) or [*self._layouts()][-1]
        yield from layout.lines(width)
        caption = packed(self._facts(self._constant, 0), width)
        below = [*caption, *layout.full_names]
        yield from map(Text, ["", *below] if below or self.notes else [])

    @property
    def _constant(self) -> list[int]:
        cells = [{row[at] for row in self.rows} for at in range(len(self.columns))]
        return [at for at, column in enumerate(self.columns) if column.constant and len(cells[at]) == 1]

    def _facts(self, columns: Sequence[int], row: int) -> tuple[str, ...]:
        """Return the parts of a caption or heading; empty cells are omitted."""
        cells = [(self.columns[at].constant or "{}", str(self.rows[row][at])) for at in columns]
        return tuple(text.format(cell) for text, cell in cells if cell)

    def _layouts(self) -> Iterator["_Layout"]:
        """Yield the layouts to try, the most readable first."""
        kept = [at for at in range(len(self.columns)) if at not in self._constant]
        names = [cell.full for row in self.rows for cell in row if isinstance(cell, Name)]
        lengths = (True,) if any(len(name) > LONG_NAME for name in names) else (False, True)
        ranks = sorted({0, *(self.columns[at].group for at in kept)})
        for rank in ranks:
            grouped = [at for at in kept if 0 < self.columns[at].group <= rank]
            for short in lengths:
                yield _Layout(self, [at for at in kept if at not in grouped], grouped, short)
        needed = [at for at in kept if not self.columns[at].optional and at not in grouped]
        yield _Layout(self, needed, grouped, short=True)


class _Layout:
    """One way to lay out a table: columns that stay, columns that become headings, short or full names."""

    def __init__(self, table: FittedTable, kept: Sequence[int], grouped: Sequence[int], short: bool) -> None:
        self._columns = [table.columns[at] for at in kept]
        self.full_names: list[str] = []
        cells = [self._texts([row[at] for row in table.rows], short) for at in kept]
        self._widths = [
            max(map(cell_len, [column.heading, *texts])) for column, texts in zip(self._columns, cells, strict=True)
        ]
        self._groups: dict[tuple[str, ...], list[list[str]]] = {}
        for row in range(len(table.rows)):
            heading = table._facts(grouped, row)
            self._groups.setdefault(heading, []).append([texts[row] for texts in cells])

    def _texts(self, cells: Sequence[str | Name], short: bool) -> list[str]:
        """Return the cells of a column as text, and add shortened names to ``full_names``."""
        briefs = short_names(cell.full for cell in cells if isinstance(cell, Name)) if short else {}
        self.full_names += [f"{brief} = {name}" for name, brief in briefs.items() if brief != name]
        return [
            str(replace(cell, full=briefs.get(cell.full, cell.full))) if isinstance(cell, Name) else cell
            for cell in cells
        ]

    @property
    def width(self) -> int:
        """Number of characters per line."""
        return sum(self._widths) + len(GAP) * (len(self._widths) - 1)

    def lines(self, width: int) -> Iterator[Text]:
        """Yield the headings, a rule, and the rows under the headings of their groups."""
        yield Text(self._line([column.heading for column in self._columns]), style="bold")
        yield Text("─" * self.width)
        for number, (heading, rows) in enumerate(self._groups.items()):
            if heading:
                yield from [Text("")] if number else []
                yield from (Text(line, style="bold") for line in packed(heading, width))
            yield from (Text(self._line(row)) for row in rows)

    def _line(self, cells: Sequence[str]) -> str:
        padded = []
        for column, width, cell in zip(self._columns, self._widths, cells, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(space + cell if column.right else cell + space)
        return GAP.join(padded).rstrip()


def packed(parts: Iterable[str], width: int) -> list[str]:
    """Join parts by dots into lines of at most ``width`` characters; no part is split.

    >>> packed(["linear", "accuracy", "layer last"], 20)
    ['linear · accuracy', 'layer last']
    """
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(joined := f"{lines[-1]} · {part}") <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return the shortest unambiguous form of each name: the last parts of a path, a spec without its prefix.

    >>> short_names(["folder:/data/birds/train", "folder:/a/cars/train", "random:vgg"])
    {'folder:/data/birds/train': '…/birds/train', 'folder:/a/cars/train': '…/cars/train', 'random:vgg': 'vgg'}
    """
    forms = {name: [*_forms(name)] for name in names}
    level = dict.fromkeys(forms, 0)
    while True:
        users: dict[str, list[str]] = {}
        for name, at in level.items():
            users.setdefault(forms[name][at], []).append(name)
        ambiguous = [name for same_form in users.values() if len(same_form) > 1 for name in same_form]
        longer = [name for name in ambiguous if level[name] < len(forms[name]) - 1]
        if not longer:
            return {name: forms[name][at] for name, at in level.items()}
        for name in longer:
            level[name] += 1


def _forms(name: str) -> Iterator[str]:
    """Yield the forms of a name, the shortest first and the name itself last."""
    if found := _ABSOLUTE.match(name):
        parts = found["path"].split("/")
        for count in range(1, len(parts)):
            yield "…/" + "/".join(parts[-count:])
    elif name.partition(":")[2]:
        yield name.partition(":")[2]
    yield name
