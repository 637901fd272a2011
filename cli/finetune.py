"""``transferkit finetune``: training of the whole network on a target data set."""

from typing import Any

import click

from transferkit.protocols.detecting.presets import PRESETS as DETECT_PRESETS
from transferkit.protocols.detecting.settings import DetectSettings
from transferkit.protocols.finetuning.presets import PRESETS
from transferkit.protocols.finetuning.settings import FinetuneSettings
from transferkit.training.settings import TrainerConfig

from .budget import budget_options
from .detecting import on_error_option, preset_rows, require_own_options, run_detection, task_option
from .help import GroupedCommand, under
from .session import (
    Session,
    common_options,
    data_option,
    described_fields,
    force_option,
    model_option,
    preprocessing_options,
    preset_fields,
    weights_key_option,
)
from .settings import OTHER, given, grouped_options, shared_fields, with_options

_IN_DETECTION = {
    "lr": f"Detection takes one rate (default {DetectSettings.lr:g}) for the whole batch, and never multiplies it.",
    "batch": "For detection, one number of images per step of all processes together (default "
    f"{DetectSettings.batch}).",
    "weight_decay": "Detection takes one value, which excludes the scale and shift of batch normalisation layers.",
    "clip": f"The default for detection is {DetectSettings.clip:g}.",
    "seed": "For detection, also the seed of new weights.",
}


_SHARED = shared_fields(FinetuneSettings, DetectSettings, notes=_IN_DETECTION)


@click.command(cls=GroupedCommand)
@under(
    "Task, models and data",
    task_option,
    model_option,
    data_option,
    click.option(
        "--preset",
        metavar="NAME",
        help=f"Preset of all settings: {', '.join(PRESETS)}; for detection {', '.join(DETECT_PRESETS)}.  "
        "[default: quick; for the data sets voc0712 and coco the preset of that name]",
    ),
    click.option(
        "--presets",
        "show_presets",
        is_flag=True,
        help="Describe the presets, then exit; with --json, print all of their settings.",
    ),
    budget_options,
    weights_key_option,
)
@grouped_options(
    FinetuneSettings,
    {"Options of both tasks": tuple(_SHARED), "Options of --task classification": (OTHER,)},
    notes=_IN_DETECTION,
)
@under("Options of --task detection", with_options(DetectSettings, skip=tuple(_SHARED)), on_error_option)
@under("Hardware", with_options(TrainerConfig, skip=("compile", "logger", "checkpoint_minutes")))
@under("Preprocessing of images", preprocessing_options)
@under(
    "Workspace and output",
    click.option(
        "--keep",
        is_flag=True,
        help="Keep the trained weights in the workspace, as the model run:finetuned-DATA-DIGEST or, for detection, as "
        "a file:PATH#ARCH. The command prints the name.",
    ),
    force_option,
    click.option(
        "--yes",
        is_flag=True,
        help="Start even if the training would take more than an hour on a CPU, which is refused otherwise.",
    ),
    common_options,
)
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
    """Train the whole network on a target data set, and score it on the test images.

    Several learning rates, batch sizes or weight decays form a grid: each setting is trained and scored on
    held-out images, and the best one is trained again on the images of train and val. The defaults shown are
    those of the preset quick; other presets have others. The same command continues an interrupted run exactly
    where it stopped.

    With --task detection, the network becomes the backbone of the detector that --detector names; it is
    trained and scored on images with boxes (voc0712, coco, mini/scenes). Options of the other task are refused.

    \b
    Example:
      transferkit finetune --model random:resnet18 --data mini/digits --size 32 \\
        --epochs 1 --head zero
    """
    if show_presets:
        _show_presets(session)
        return
    if task == "detection":
        own_options = {"preset": preset, "keep": keep, "force": force, "yes": yes}
        run_detection(session, model, data, {**options, **own_options})
        return
    require_own_options("classification", options)
    from transferkit.core.record_table import record_table
    from transferkit.protocols.context import RunContext
    from transferkit.protocols.finetuning.finetune import RunOptions, finetune
    from transferkit.protocols.finetuning.presets import preset_settings

    settings = preset_settings(preset or "quick", given(FinetuneSettings, options))
    trainer_config = TrainerConfig(**given(TrainerConfig, options))
    context = RunContext(session.workspace, settings.seed, session.reporter)
    run_options = RunOptions(force=force, yes=yes, keep=keep)
    found = finetune(model, data, settings, context=context, trainer_config=trainer_config, run_options=run_options)
    if found.process == 0:
        session.show(found.results.to_json(), record_table(found.results))


def _show_presets(session: Session) -> None:
    rows = [*(("classification", name, preset) for name, preset in PRESETS.items()), *preset_rows()]
    described = {f"{task}: {name}": preset_fields(preset) for task, name, preset in rows}
    session.show(
        [{"task": task, "preset": name, **preset.to_json()} for task, name, preset in rows], described_fields(described)
    )
