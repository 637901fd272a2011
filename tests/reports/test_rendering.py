"""Tables and sentences as rich draws them."""

import io

from rich.console import Console
from rich.text import Text

from tests.terminal import printed
from transferkit.core.fitted_table import Column, FittedTable, Name, Styled
from transferkit.reports.rendering import rendered

TABLE = FittedTable((Column("model"), Column("done")), [(Name("[a]"), Styled("1/2", "red"))], ["A note."], "State")


def test_parts_begin_on_new_lines_and_contain_no_markup():
    lines = printed("A [red]sentence.", "", TABLE, Text("The end."), width=40).splitlines()
    assert lines == ["A [red]sentence.", "", *TABLE.text(40).splitlines(), "The end."]


def test_headings_are_bold_and_cells_have_their_colour():
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=40)
    console.print(rendered(TABLE))
    text = console.file.getvalue()
    assert "\x1b[1mmodel\x1b[0m" in text
    assert "\x1b[31m1/2\x1b[0m" in text


def test_notes_wrap_between_words_but_rows_stay_whole():
    text = printed(FittedTable([Column("x")], [["a long cell"]], ["one two"]), width=5)
    assert [line.rstrip() for line in text.splitlines()] == ["x", "─" * 11, "a long cell", "", "one", "two"]


def test_a_table_without_rows_is_not_drawn():
    assert printed("before", FittedTable([Column("x")], [], ["A note."], "Title"), "after", width=40) == (
        "before\nafter\n"
    )
