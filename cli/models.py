"""``transferkit models``: encoders and their layers."""

import click
from rich import box
from rich.table import Table
from rich.text import Text

from .session import Section, Session, common_options, listed


@click.group(cls=Section)
def command() -> None:
    """Show encoders and their layers.

    \b
    Example:
      transferkit models list
    """


@command.command("list")
@common_options
def list_models(session: Session) -> None:
    """List the forms that --model takes.

    \b
    Example:
      transferkit models list
    """
    from transferkit.models.catalog import known_models

    models = known_models()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("spec")
    table.add_column("what it means")
    for spec, meaning in models:
        table.add_row(Text(spec), Text(meaning))
    session.show([{"spec": spec, "meaning": meaning} for spec, meaning in models], table)


@command.command()
@click.argument("spec")
@click.option(
    "--layers", multiple=True, callback=listed, help="last, stages, all, or patterns.", default=("all",)
)
@click.option("--pooling", help="How a map becomes one vector.")
@click.option("--size", type=click.IntRange(min=1), help="Pixels of the square the encoder sees.")
@common_options
def layers(
    session: Session, spec: str, layers: tuple[str, ...], pooling: str | None, size: int | None
) -> None:
    """Print the layers of SPEC with their shapes, in the order in which an image meets them.

    \b
    Example:
      transferkit models layers random:resnet18
    """
    from transferkit.models.catalog import load_encoder
    from transferkit.models.layers import resolve_layers

    encoder = load_encoder(spec, runs=session.workspace.runs).at(size)
    found = resolve_layers(encoder, layers, pooling or encoder.pooling)
    table = Table(title=Text(encoder.spec), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading in ("layer", "kind", "shape", "features"):
        table.add_column(heading, justify="right" if heading == "features" else "left")
    for layer in found:
        table.add_row(Text(layer.name), layer.kind, " × ".join(map(str, layer.shape)), str(layer.dim))
    value = [{"layer": x.name, "kind": x.kind, "shape": list(x.shape), "features": x.dim} for x in found]
    session.show(value, table)
