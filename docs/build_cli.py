"""Write docs/cli.md from the help of the commands; with --check, check whether it is up to date."""

import difflib
from collections.abc import Iterator
from pathlib import Path

import click

from transferkit_cli.main import cli

PAGE = Path(__file__).with_name("cli.md")
HEAD = "# Commands\n\nBuilt from `--help` by `make docs`.\n"
COLUMNS = 100


def sections(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[str]:
    """Yield the help of a command under its full name, and then of its subcommands."""
    settings = {**command.context_settings, "terminal_width": COLUMNS}
    context = command.context_class(command, parent=parent, info_name=name, **settings)
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for inner_name in command.list_commands(context):
            inner = command.get_command(context, inner_name)
            if inner and not inner.hidden:
                yield from sections(inner, inner_name, context)


@click.command()
@click.option("--check", is_flag=True, help="Only compare; exit with code 1 if the page is out of date.")
def main(check: bool) -> None:
    """Write docs/cli.md, or check it."""
    built = "\n".join([HEAD, *sections(cli, "transferkit")])
    if not check:
        PAGE.write_text(built, encoding="utf-8")
        return
    written = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if built != written:
        lines = (text.splitlines(keepends=True) for text in (written, built))
        click.echo("".join(difflib.unified_diff(*lines, "docs/cli.md", "--help")))
        raise click.ClickException("docs/cli.md is out of date: run make docs.")


if __name__ == "__main__":
    main()
