"""Rendering of an output as a terminal shows it."""

from rich.console import Console

from transferkit.reports.rendering import Part, rendered


def printed(*parts: Part, width: int) -> str:
    """Return the parts of an output as a terminal without colours shows them."""
    with (console := Console(width=width, color_system=None)).capture() as captured:
        console.print(rendered(*parts), crop=False)
    return captured.get()
