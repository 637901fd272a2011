"""The root command, which imports a command's module only when the command is used."""

import importlib
import sys
from collections.abc import Sequence

import click

import transferkit
from transferkit.core.errors import TransferkitError
from transferkit.core.plugins import add_plugins
from transferkit.core.registry import unknown_name

from .help import HelpContext

COMMANDS = {
    "demo": "Run the whole pipeline on embedded images and weights.",
    "pretrain": "Train a network with cross-entropy, contrastive losses, or a sum of them.",
    "extract": "Extract features into the feature cache.",
    "probe": "Evaluate cached features; extract missing features first.",
    "finetune": "Train the whole network on a target data set, for classification or detection.",
    "analyze": "Analyze representations, layer by layer.",
    "study": "Run a grid of models, data sets, protocols and seeds.",
    "report": "Write a report of the records: a page, tables and figures.",
    "results": "List and export result records.",
    "datasets": "List, prepare and verify data sets.",
    "models": "List models and their layers; import and export their weights.",
    "cache": "Inspect, export and clean the feature cache.",
    "doctor": "Check this machine's software and hardware.",
}


class LazyGroup(click.Group):
    """A group whose commands are defined in modules of the same name, which are imported on use."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module that defines the command.

        Raises: UnknownNameError: if there is no such command; the message suggests the nearest name.
        """
        if name not in COMMANDS:
            raise unknown_name("command", name, list(COMMANDS))
        command: click.Command = importlib.import_module(f".{name}", __package__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take ``--plugin FILE`` out of the arguments, wherever it stands: commands read registries on import."""
        files, rest = _split_plugins(args)
        if files:
            try:
                add_plugins(files)
            except TransferkitError as error:
                raise click.UsageError(str(error), ctx) from error
        return super().parse_args(ctx, rest)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and turn each expected error into one line and an exit code."""
        try:
            return super().invoke(ctx)
        except TransferkitError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("\nInterrupted. Finished work is kept: the same command continues from there.", err=True)
            ctx.exit(130)


def _split_plugins(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the values of ``--plugin``, and the other arguments."""
    files: list[str] = []
    rest: list[str] = []
    remaining = iter(args)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument.startswith("--plugin="):
            files.append(argument.removeprefix("--plugin="))
        elif argument == "--plugin" and (value := next(remaining, None)) is not None:
            files.append(value)
        else:
            rest.append(argument)
    return files, rest


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(transferkit.__version__, prog_name="transferkit")
def cli() -> None:
    """Measure how well a visual representation transfers, why, and at what cost.

    Features of many layers are extracted once into a cache; every evaluation then reads the cache. Data sets, runs,
    features, results and reports are kept in the workspace: the folder that --workspace or
    $TRANSFERKIT_WORKSPACE names, else ./transferkit-workspace.

    \b
    Start here:
      transferkit demo
      transferkit probe --model timm:resnet18 --data folder:./photos
    """


def main() -> None:
    """Run the installed console command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a class name that the terminal cannot encode must not crash
    cli(prog_name="transferkit")
