"""The root command: a table of contents that imports a command only when it is used."""

import importlib
import sys

import click

import transferkit
from transferkit.core.errors import TransferkitError
from transferkit.core.registry import unknown_name

COMMANDS = {
    "demo": "Run the whole chain on embedded images and weights.",
    "pretrain": "Train an encoder with cross-entropy, contrastive or joint objectives.",
    "extract": "Fill the feature cache.",
    "probe": "Evaluate cached features; extract what is missing first.",
    "finetune": "Train the whole network on a target.",
    "analyze": "Look inside representations, layer by layer.",
    "study": "Run a whole grid: models, data sets, protocols, seeds.",
    "report": "Turn the records into a page, tables and figures.",
    "results": "List and export result records.",
    "datasets": "Show what data there is.",
    "models": "Show encoders and their layers; checkpoints in and out.",
    "cache": "Look after the feature cache.",
    "doctor": "Show what this machine can do.",
}


class LazyGroup(click.Group):
    """A group whose commands live in modules of the same name, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module that holds the command.

        Raises: UnknownNameError: with the nearest known name.
        """
        if name not in COMMANDS:
            raise unknown_name("command", name, list(COMMANDS))
        command: click.Command = importlib.import_module(f".{name}", __package__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Run; the one place where expected errors become one line and an exit code."""
        try:
            return super().invoke(ctx)
        except TransferkitError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("\nInterrupted. Finished work is kept: the same command continues from there.", err=True)
            ctx.exit(130)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(transferkit.__version__, prog_name="transferkit")
def cli() -> None:
    """Find out how well a visual representation transfers, why, and at what cost.

    Features of many layers are dumped once into a cache; every evaluation then runs against it.

    \b
    Start here:
      transferkit demo
      transferkit probe --model timm:resnet18 --data folder:./photos
    """


def main() -> None:
    """The installed console command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a class name that the terminal cannot spell is no crash
    cli(prog_name="transferkit")
