"""``transferkit pretrain``: training of an encoder."""

from typing import Any

import click
from rich import box
from rich.table import Table

from transferkit.core.plugins import plugin_files
from transferkit.protocols.pretraining.presets import PRESETS
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.training.settings import TrainerConfig

from .help import GroupedCommand, under
from .session import Session, common_options, described_fields, preset_fields
from .settings import OTHER, given, grouped_options, with_options


def _losses_of_plugins() -> dict[str, str]:
    """Return the note on losses that plug-in files add; without one, losses are not imported, because torch is slow."""
    if not plugin_files():
        return {}
    from transferkit.losses import ce, selfsupcon, supcon  # noqa: F401, built-in losses
    from transferkit.losses.loss import LOSSES

    return {"loss": f"Terms of sums: {', '.join(LOSSES)}."}


_GROUPS = {
    "Objective, data and model": ("loss", "data", "model", "seed"),
    "Optimisation": (
        "epochs",
        "batch",
        "accumulate",
        "optimizer",
        "lr",
        "warmup_epochs",
        "min_lr",
        "momentum",
        "weight_decay",
        "clip",
        "precision",
    ),
    "Contrastive losses": ("temperature", "projection_dim", "queue_size", "ema_momentum", "bn_splits"),
    "Augmented views": (
        "size",
        "crop_min_area",
        "flip_prob",
        "jitter",
        "jitter_prob",
        "gray_prob",
        "blur_prob",
        "augment_on",
    ),
    "Evaluation and preprocessing of the trained model": (OTHER,),
}


@click.command(cls=GroupedCommand)
@under(
    "Run",
    click.option("--preset", metavar="NAME", help=f"Preset of all settings: {', '.join(PRESETS)}.  [default: mini]"),
    click.option(
        "--presets",
        "show_presets",
        is_flag=True,
        help="Describe the presets, then exit; with --json, print all of their settings.",
    ),
    click.option(
        "--name",
        metavar="NAME",
        help="Name of the run. If a run of this name was started with other settings, the command refuses to continue "
        "it.  [default: made of loss, data, model and seed]",
    ),
    click.option(
        "--resume/--no-resume",
        default=None,
        help="Continue the run of this name, which must exist, or delete its weights and checkpoints and start it "
        "again.  [default: continue if it exists]",
    ),
)
@grouped_options(PretrainSettings, _GROUPS, notes=_losses_of_plugins())
@under("Hardware", with_options(TrainerConfig))
@under("Workspace and output", common_options)
def command(
    session: Session,
    preset: str | None,
    show_presets: bool,
    name: str | None,
    resume: bool | None,
    **options: Any,
) -> None:
    """Train a network with a cross-entropy loss, contrastive losses, or a weighted sum of them.

    The defaults shown are those of the preset mini, which takes minutes on two CPU cores. The run is stored in the
    workspace, and is then the model run:NAME for all other commands; latest is the run that finished last. The
    same command, or transferkit pretrain --name NAME, continues an interrupted run exactly where it stopped.

    \b
    Example:
      transferkit pretrain --loss joint
    """
    if show_presets:
        _show_presets(session)
        return
    from transferkit.protocols.context import RunContext
    from transferkit.protocols.pretraining.pretrain import pretrain
    from transferkit.protocols.pretraining.resuming import settings_for

    changes = given(PretrainSettings, options)
    runs = session.workspace.runs
    settings = settings_for(preset, changes, name=name if resume is not False else None, runs=runs)
    trainer_config = TrainerConfig(**given(TrainerConfig, options))
    context = RunContext(session.workspace, reporter=session.reporter)
    trained = pretrain(settings, context=context, name=name, trainer_config=trainer_config, resume=resume)
    if trained.process == 0:
        session.show(
            trained.to_json(),
            f"run:{trained.run}: {trained.source}",
            _epoch_table(trained),
            *_unreadable_note(trained),
            f"Next: transferkit probe --model run:{trained.run}",
        )


def _epoch_table(trained: Any) -> Table:
    """Return a table of at most ten epochs: those that were evaluated, if there are any."""
    columns = list(dict.fromkeys(key for line in trained.history for key in line))
    columns = [key for key in columns if key not in ("gradient_norm", "knn", "seconds")] + ["knn", "seconds"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for key in columns:
        table.add_column("k-NN" if key == "knn" else key, justify="right")
    lines = [line for line in trained.history if "knn" in line] or trained.history
    step = -(-len(lines) // 10)
    for line in lines[::-1][::step][::-1]:  # always with the last epoch
        table.add_row(*(_number(key, line[key]) if key in line else "–" for key in columns))
    return table


def _unreadable_note(trained: Any) -> list[str]:
    note = f"{trained.unreadable} times an image could not be read and another one replaced it."
    return [note] if trained.unreadable else []


def _number(key: str, value: float) -> str:
    return f"{value:.0f}" if key in ("epoch", "seconds") else f"{value:.3f}"


def _show_presets(session: Session) -> None:
    value = [{"preset": name, **preset.to_json()} for name, preset in PRESETS.items()]
    session.show(value, described_fields({name: preset_fields(preset) for name, preset in PRESETS.items()}))
