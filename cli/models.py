"""``transferkit models``: encoders and their layers."""

from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from .help import Section
from .session import Session, common_options, completed, listed, preprocessing_options, weights_key_option


@click.group(cls=Section)
def command() -> None:
    """List models and their layers; import and export their weights.

    \b
    Example:
      transferkit models list
    """


@command.command("list")
@common_options
def list_models(session: Session) -> None:
    """List the model specs that --model accepts, and the runs of this workspace.

    \b
    Example:
      transferkit models list
    """
    from transferkit.models.catalog import known_models
    from transferkit.models.runs import known_runs

    models = known_models()
    models += [(f"run:{run.name}", _run_description(run)) for run in known_runs(session.workspace.runs)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("spec")
    table.add_column("meaning")
    for spec, meaning in models:
        table.add_row(Text(spec), Text(meaning))
    session.show([{"spec": spec, "meaning": meaning} for spec, meaning in models], table)


def _run_description(run: Any) -> str:
    """Return how a run was trained, or that it is damaged, so that one damaged run does not hide the list."""
    from transferkit.core.errors import CheckpointError

    try:
        description = run.read()
    except CheckpointError as error:
        return f"damaged: {error}"
    return description.source + ("" if description.finished or not description.identity else " (unfinished)")


@command.command()
@click.argument("spec")
@click.option(
    "--layers",
    multiple=True,
    callback=listed,
    default=("all",),
    metavar="NAME,…",
    help="Layers to print: last, stages, all, or module names with wildcards, such as layer*.  [default: all]",
)
@click.option(
    "--pooling",
    metavar="NAME",
    help="Pooling of feature maps or tokens to one vector.  [default: the model's own where it fits, else the mean]",
)
@click.option(
    "--size",
    type=int,
    metavar="N",
    help="Input size in pixels per side.  [default: the size that the model was trained for]",
)
@weights_key_option
@preprocessing_options
@common_options
def layers(
    session: Session,
    spec: str,
    layers: tuple[str, ...],
    pooling: str | None,
    size: int | None,
) -> None:
    """Print the layers of a model with their shapes, in forward order.

    The heading shows the preprocessing of the images.

    \b
    Example:
      transferkit models layers random:resnet18
    """
    from transferkit.models.catalog import load_encoder
    from transferkit.models.encoder import preprocessing_text
    from transferkit.models.layers import resolve_layers

    (spec,) = completed(spec)
    encoder = load_encoder(spec, runs=session.workspace.runs, reporter=session.reporter).at(size)
    found = resolve_layers(encoder, layers, pooling)
    heading = f"{encoder.spec}\nImages: {preprocessing_text(encoder.preprocessing)}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("layer", "kind", "shape", "pooling", "features"):
        table.add_column(column, justify="right" if column == "features" else "left")
    for layer in found:
        shape = " × ".join(map(str, layer.shape))
        table.add_row(Text(layer.name), layer.kind, shape, layer.pooling or "–", str(layer.dim))
    value = [
        {"layer": x.name, "kind": x.kind, "shape": list(x.shape), "pooling": x.pooling, "features": x.dim}
        for x in found
    ]
    session.show(value, heading, table)


@command.command("export")
@click.argument("spec")
@click.option("-o", "--output", required=True, metavar="FILE", help="Output file: .safetensors, .pt or .pth.")
@click.option(
    "--style",
    type=click.Choice(["torchvision", "timm"]),
    help="Library whose names the weights get.  [default: the library that built the network]",
)
@common_options
def export(session: Session, spec: str, output: str, style: Any) -> None:
    """Write the weights of a model so that torchvision or timm loads them without missing keys.

    A model that was trained without a classifier gets one with zero weights.

    \b
    Example:
      transferkit models export random:resnet18 --output weights.safetensors
    """
    from transferkit.models.exchange import export_weights

    exported = export_weights(spec, Path(output), style=style, runs=session.workspace.runs)
    session.show_facts(exported.to_json())


@command.command("import")
@click.argument("file", metavar="FILE")
@click.option(
    "--arch",
    required=True,
    metavar="ARCH",
    help="Architecture of the network: a name of torchvision or timm, such as resnet18 or timm:resnet18.",
)
@click.option("--name", required=True, metavar="NAME", help="Name of the new model, which is then run:NAME.")
@click.option(
    "--size",
    type=int,
    metavar="N",
    help="Input size of the model in pixels per side.  [default: that of ARCH in its library]",
)
@weights_key_option
@preprocessing_options
@common_options
def import_(session: Session, file: str, arch: str, name: str, size: int | None) -> None:
    """Copy the weights of a checkpoint into the workspace, as the model run:NAME.

    FILE is a checkpoint (.pt, .pth, .ckpt or .safetensors) of any program. Its classifier is left out if it has
    another number of classes than that of ARCH.

    \b
    Example:
      transferkit models import weights.safetensors --arch resnet18 --name mine
    """
    from transferkit.models.exchange import import_weights
    from transferkit.models.runs import Run

    run = Run.named(name, session.workspace.runs)
    (spec,) = completed(f"file:{Path(file).expanduser().absolute()}#{arch}")
    encoder = import_weights(spec, run=run, size=size, reporter=session.reporter)
    session.show_facts({"model": encoder.spec, "architecture": encoder.architecture, "weights": encoder.weights})
