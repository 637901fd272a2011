"""``transferkit finetune``: train the whole network on a target."""

from typing import Any

import click
from rich import box
from rich.table import Table

from transferkit.protocols.detecting.presets import PRESETS as DETECT_PRESETS
from transferkit.protocols.detecting.settings import DetectSettings
from transferkit.protocols.finetuning.presets import PRESETS
from transferkit.protocols.finetuning.settings import FinetuneSettings
from transferkit.protocols.pretraining.settings import TrainerConfig

from .budget import budget_options
from .detecting import on_error_option, preset_rows, require_own_options, run_detection, task_option
from .session import Session, common_options, model_options
from .settings import given, with_options

_IN_DETECTION = {
    "lr": f"In detection one, of the whole batch, multiplied by nothing: {DetectSettings.lr:g}.",
    "batch": f"In detection those of all processes together: {DetectSettings.batch}.",
    "clip": f"In detection {DetectSettings.clip:g}.",
}


@click.command()
@task_option
@model_options
@click.option("-d", "--data", multiple=True, default=("mini",), metavar="SPEC,…", help="Data sets.  [default: mini]")
@click.option(
    "--preset",
    metavar="NAME",
    help=f"Where the numbers come from: {', '.join(PRESETS)}; for detection {', '.join(DETECT_PRESETS)}.  "
    "[default: quick; for voc0712 and coco their own]",
)
@click.option("--presets", "show_presets", is_flag=True, help="Describe the presets, and stop.")
@budget_options
@with_options(
    FinetuneSettings,
    DetectSettings,
    TrainerConfig,
    skip=("compile", "logger", "checkpoint_minutes"),
    notes=_IN_DETECTION,
)
@on_error_option
@click.option("--keep", is_flag=True, help="Leave the fine-tuned network in the workspace, as a model.")
@click.option("--force", is_flag=True, help="Recompute finished cells.")
@click.option("--yes", is_flag=True, help="Begin also what takes hours on a CPU.")
@common_options
def command(
    session: Session,
    task: str,
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

    With --task detection a detector is put around the network, trained on images with boxes (voc0712, coco,
    mini/scenes) and scored on them; --detector says which. There --batch counts the images of all processes
    together, and --lr belongs to that batch, however many processes there are. Options of the other task are
    refused.

    \b
    Example:
      transferkit finetune --model random:resnet18 --data mini/digits --size 32 --epochs 1 --head zero
    """
    if show_presets:
        _show_presets(session)
        return
    if task == "detection":
        said = {"preset": preset, "keep": keep, "force": force, "yes": yes}
        run_detection(session, model, data, {**options, **said})
        return
    require_own_options("classification", options)
    from transferkit.protocols.context import RunContext
    from transferkit.protocols.finetuning.finetune import RunOptions, finetune
    from transferkit.protocols.finetuning.presets import preset_settings

    settings = preset_settings(preset or "quick", given(FinetuneSettings, options))
    trainer_config = TrainerConfig(**given(TrainerConfig, options))
    context = RunContext(session.workspace, settings.seed, session.reporter)
    run_options = RunOptions(force=force, yes=yes, keep=keep)
    found = finetune(model, data, settings, context=context, trainer_config=trainer_config, run_options=run_options)
    if found.process == 0:
        session.show(found.results.to_json(), found.results)


def _show_presets(session: Session) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    for heading in ("task", "preset", "source", "hardware", "outcome"):
        table.add_column(heading, overflow="fold")
    rows = [*(("classification", name, preset) for name, preset in PRESETS.items()), *preset_rows()]
    for task, name, preset in rows:
        table.add_row(task, name, preset.source, preset.hardware, preset.outcome)
    session.show([{"task": task, "preset": name, **preset.to_json()} for task, name, preset in rows], table)
