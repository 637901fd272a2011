"""Text tables that fit the width of the terminal without splitting a number, a heading or a name."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

GAP = "  "
LONG_NAME = 40
"""Number of characters above which names are shortened at any width."""

_ABSOLUTE = re.compile(r"^(?:\w+:)?/(?P<path>.*)$")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        heading: text above the column, of one or several lines.
        right: the column is aligned to the right, as numbers are.
        constant: text of the caption that replaces the column when all cells are equal, with ``{}`` for the
            cell; empty for a column that always stays.
        group: rank in which the column moves into headings above groups of rows when the table is too wide;
            0 for a column that always stays.
        optional: the column is left out when the table is too wide with all ranks moved.
        stacked: the column moves into a further table below when the table is too wide even then; each table repeats
            the columns that are not stacked.
    """

    heading: str
    right: bool = False
    constant: str = ""
    group: int = 0
    optional: bool = False
    stacked: bool = False


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
class Styled:
    """A cell with a colour or weight, which only coloured output shows.

    Attributes:
        text: the text.
        style: ``bold``, or the name of one of the eight colours of terminals.
    """

    text: str
    style: str

    def __str__(self) -> str:
        return self.text


Cell = str | Name | Styled
Line = list[Styled]
"""Parts of a line, with an empty style for plain ones."""


@dataclass(frozen=True)
class FittedTable:
    """The description of a table whose layout adapts to the available width.

    Constant columns become a caption. If the table is too wide, or a name is very long, names are shortened and
    spelled out below the table; if that is not enough, columns become headings above groups of rows, in the order
    of ``Column.group``, and then columns move into further tables below. Nothing is printed without rows.

    Attributes:
        columns: columns from left to right.
        rows: rows with one text or name per column.
        notes: lines below the table.
        title: line above the table.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    title: str = ""

    def text(self, width: int) -> str:
        """Return the table as plain text of at most ``width`` characters per line, if names and numbers allow it."""
        lines = ("".join(map(str, line)) for line in self.lines(width))
        title = [self.title] if self.title and self.rows else []
        return "\n".join([*title, *lines, *(self.notes if self.rows else ())])

    def lines(self, width: int) -> Iterator[Line]:
        """Yield the lines between title and notes, of at most ``width`` characters if names and numbers allow it."""
        if not self.rows:
            return
        layout = next((fit for fit in self._layouts() if fit.width <= width), None) or [*self._layouts()][-1]
        yield from layout.lines(width)
        caption = packed(self._facts(self._constant, 0, {}), width)
        below = [*caption, *layout.full_names]
        yield from ([Styled(line, "")] for line in (["", *below] if below or self.notes else []))

    @property
    def _constant(self) -> list[int]:
        cells = [{str(row[at]) for row in self.rows} for at in range(len(self.columns))]
        return [at for at, column in enumerate(self.columns) if column.constant and len(cells[at]) == 1]

    def _facts(self, columns: Sequence[int], row: int, briefs: Mapping[str, str]) -> tuple[str, ...]:
        """Return the parts of a caption or heading, with short names where ``briefs`` has them, without empty cells."""
        cells = [(self.columns[at].constant or "{}", str(_styled(self.rows[row][at], briefs))) for at in columns]
        return tuple(text.format(cell) for text, cell in cells if cell)

    def _identify_rows(self, columns: Sequence[int]) -> bool:
        """Return whether no two rows have the same cells in these columns."""
        return len({tuple(str(row[at]) for at in columns) for row in self.rows}) == len(self.rows)

    def _layouts(self) -> Iterator["_Layout"]:
        """Yield the layouts to try, the most readable first."""
        kept = [at for at in range(len(self.columns)) if at not in self._constant]
        names = [cell.full for row in self.rows for cell in row if isinstance(cell, Name)]
        lengths = (True,) if any(len(name) > LONG_NAME for name in names) else (False, True)
        grouped: list[int] = []
        for rank in sorted({0, *(self.columns[at].group for at in kept)}):
            columns = [at for at in kept if 0 < self.columns[at].group <= rank]
            if rank and any(self.columns[at].stacked for at in kept) and self._identify_rows(columns):
                break  # a heading above every row is harder to read than two tables
            grouped = columns
            for short in lengths:
                yield _Layout(self, [at for at in kept if at not in grouped], grouped, short)
        needed = [at for at in kept if not self.columns[at].optional and at not in grouped]
        yield _Layout(self, needed, grouped, short=True)


class _Layout:
    """One way to lay out a table: columns that stay, columns that become headings, short or full names."""

    def __init__(self, table: FittedTable, kept: Sequence[int], grouped: Sequence[int], short: bool) -> None:
        self._columns = [table.columns[at] for at in kept]
        names = [row[at] for at in (*kept, *grouped) for row in table.rows]
        briefs = short_names(cell.full for cell in names if isinstance(cell, Name)) if short else {}
        self.full_names = [f"{brief} = {name}" for name, brief in briefs.items() if brief != name]
        rows = [[_styled(row[at], briefs) for at in kept] for row in table.rows]
        self._widths = [
            max(display_width(text) for text in [*column.heading.split("\n"), *(row[at].text for row in rows)])
            for at, column in enumerate(self._columns)
        ]
        self._groups: dict[tuple[str, ...], list[list[Styled]]] = {}
        for number, row in enumerate(rows):
            self._groups.setdefault(table._facts(grouped, number, briefs), []).append(row)

    @property
    def width(self) -> int:
        """Number of characters per line of one table with all columns."""
        return self._width_of(range(len(self._columns)))

    def _width_of(self, columns: Sequence[int]) -> int:
        return sum(self._widths[at] for at in columns) + len(GAP) * (len(columns) - 1)

    def lines(self, width: int) -> Iterator[Line]:
        """Yield the lines of one table, or of several that are at most ``width`` wide if their columns allow it."""
        for number, columns in enumerate(self._tables(width)):
            yield from [[]] if number else []
            yield from self._table(columns, width)

    def _tables(self, width: int) -> Iterator[list[int]]:
        """Yield the columns of each table: all that are not stacked, and as many stacked ones as fit beside them."""
        repeated = [at for at, column in enumerate(self._columns) if not column.stacked]
        columns = repeated
        for at in (at for at, column in enumerate(self._columns) if column.stacked):
            if columns != repeated and self._width_of([*columns, at]) > width:
                yield sorted(columns)
                columns = repeated
            columns = [*columns, at]
        yield sorted(columns)

    def _table(self, columns: Sequence[int], width: int) -> Iterator[Line]:
        """Yield the headings, a rule, and the rows under the headings of their groups."""
        headings = [self._columns[at].heading.split("\n") for at in columns]
        height = max(map(len, headings))
        for level in zip(*([""] * (height - len(lines)) + lines for lines in headings), strict=True):
            yield self._line(columns, [Styled(text, "bold") for text in level])
        yield [Styled("─" * self._width_of(columns), "")]
        for number, (heading, rows) in enumerate(self._groups.items()):
            if heading:
                yield from [[]] if number else []
                yield from ([Styled(line, "bold")] for line in packed(heading, width))
            yield from (self._line(columns, [row[at] for at in columns]) for row in rows)

    def _line(self, columns: Sequence[int], cells: Sequence[Styled]) -> Line:
        line: Line = []
        position = end = 0  # where the next column begins, and where the line ends so far
        for at, cell in zip(columns, cells, strict=True):
            text, width = cell.text.rstrip(), display_width(cell.text)
            before = position + (self._widths[at] - width if self._columns[at].right else 0)
            if text:
                line += [Styled(" " * (before - end), ""), replace(cell, text=text)]
                end = before + display_width(text)
            position += self._widths[at] + len(GAP)
        return line


def _styled(cell: Cell, briefs: Mapping[str, str]) -> Styled:
    """Return a cell as text with a style, with the short form of a name if ``briefs`` has one."""
    if isinstance(cell, Name):
        cell = str(replace(cell, full=briefs.get(cell.full, cell.full)))
    return cell if isinstance(cell, Styled) else Styled(cell, "")


def display_width(text: str) -> int:
    """Return the number of columns that a text takes in a terminal: two for East Asian characters and emoji.

    >>> display_width("α ±0.1"), display_width("猫")
    (6, 2)
    """
    if text.isascii():
        return len(text)
    shown = (char for char in text if unicodedata.category(char) not in ("Mn", "Me", "Cf"))
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in shown)


def packed(parts: Iterable[str], width: int) -> list[str]:
    """Join parts by dots into lines of at most ``width`` characters; no part is split.

    >>> packed(["linear", "accuracy", "layer last"], 20)
    ['linear · accuracy', 'layer last']
    """
    lines: list[str] = []
    for part in parts:
        if lines and display_width(joined := f"{lines[-1]} · {part}") <= width:
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
