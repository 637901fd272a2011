"""``transferkit finetune``: train the whole network on a target."""

from typing import Any

import click
from rich import box
from rich.table import Table

from transferkit.protocols.finetuning.presets import PRESETS
from transferkit.protocols.finetuning.settings import FinetuneSettings
from transferkit.protocols.pretraining.settings import Machinery

from .session import MODEL_HELP, Session, common_options, listed
from .settings import given, with_options


@click.command()
@click.option("-m", "--model", multiple=True, callback=listed, metavar="SPEC,…", help=MODEL_HELP)
@click.option(
    "-d", "--data", multiple=True, default=("mini",), metavar="SPEC,…", help="Data sets.  [default: mini]"
)
@click.option(
    "--preset", metavar="NAME", help=f"Where the numbers come from: {', '.join(PRESETS)}.  [default: quick]"
)
@click.option("--presets", "show_presets", is_flag=True, help="Describe the presets, and stop.")
@with_options(FinetuneSettings, Machinery, skip=("compile", "logger", "checkpoint_minutes"))
@click.option("--keep", is_flag=True, help="Leave the fine-tuned weights in the workspace.")
@click.option("--force", is_flag=True, help="Compute finished cells anew.")
@click.option("--yes", is_flag=True, help="Begin also what takes hours on a CPU.")
@common_options
def command(
    session: Session,
    model: tuple[str, ...],
    data: tuple[str, ...],
    preset: str | None,
    show_presets: bool,
    keep: bool,
    force: bool,
    yes: bool,
    **options: Any,
) -> None:
    """Train the whole network on a target, and score it on the target's test images.

    Several learning rates, batches or weight decays make a grid: each setting is judged on images that it was
    not trained on, the best is trained again on all. The defaults shown are those of the preset quick. An
    interrupted call goes on exactly where it stopped when it is given again.

    \b
    Example:
      transferkit finetune --model random:resnet18 --data mini/digits --size 32 --epochs 1
    """
    if show_presets:
        _show_presets(session)
        return
    from transferkit.protocols.finetuning.finetune import Wish, finetune
    from transferkit.protocols.finetuning.presets import preset_settings
    from transferkit.protocols.place import Place

    settings = preset_settings(preset or "quick", given(FinetuneSettings, options))
    machinery = Machinery(**given(Machinery, options))
    place = Place(session.workspace, settings.seed, session.reporter)
    wish = Wish(force=force, yes=yes, keep=keep)
    found = finetune(model, data, settings, place=place, machinery=machinery, wish=wish)
    if found.process == 0:
        session.show(found.results.to_json(), found.results)


def _show_presets(session: Session) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    for heading in ("preset", "source", "hardware", "outcome"):
        table.add_column(heading, overflow="fold")
    for name, preset in PRESETS.items():
        table.add_row(name, preset.source, preset.hardware, preset.outcome)
    session.show([{"preset": name, **preset.to_json()} for name, preset in PRESETS.items()], table)
