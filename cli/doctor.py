"""``transferkit doctor``: checks of this machine's software and hardware."""

import click
from rich import box
from rich.table import Table
from rich.text import Text

from .help import GroupedCommand
from .session import Session, common_options

_MARKS = {"ok": "✓", "note": "·", "bad": "✗"}


@click.command(cls=GroupedCommand)
@common_options
def command(session: Session) -> None:
    """Check this machine's software and hardware: torch, device, precision, FAISS, disk, workspace.

    The command exits with 1 if something prevents transferkit from working.

    \b
    Example:
      transferkit doctor
    """
    from transferkit.protocols.doctor import examine

    findings = list(examine(session.workspace))
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row(_MARKS[finding.state], finding.subject, Text(finding.value), Text(finding.remedy))
    session.show([finding.to_json() for finding in findings], table)
    if any(finding.state == "bad" for finding in findings):
        raise SystemExit(1)
