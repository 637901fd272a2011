"""Resuming a run: its settings, initial weights, folder and training state."""

import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ...core.errors import CheckpointError, TransferkitError, UsageError
from ...core.files import require_space
from ...core.locks import Lock
from ...models.runs import Run
from ...training.checkpoints import load_tensors, restore_training, training_tensors
from ...training.state import TrainingState
from .job import Job
from .presets import preset_settings
from .settings import PretrainSettings


def settings_for(preset: str | None, changes: Mapping[str, Any], *, name: str | None, runs: Path) -> PretrainSettings:
    """Return the settings of the run ``name`` if it exists and no preset is given, else the preset's, with changes.

    Args:
        preset: name of a preset; None selects ``mini``.
        changes: fields with other values.
        name: name of a run that may exist; None starts a new one.
        runs: folder of runs in the workspace.

    Raises:
        UsageError: if a preset needs data and ``changes`` gives none, or a value is invalid.
        CheckpointError: if the run was not written by pretraining.
    """
    run = Run.named(name, runs) if name else None
    if preset or run is None or not run.begun:
        return preset_settings(preset or "mini", changes)
    identity = run.read().identity
    names = {field.name for field in fields(PretrainSettings)}
    if not names <= identity.keys():
        raise CheckpointError(f"The run {name} was not written by transferkit pretrain. Give another --name.")
    try:
        stored = PretrainSettings(**{key: identity[key] for key in names})
    except (TypeError, UsageError) as error:
        raise CheckpointError(f"{run.folder / 'run.json'} is damaged ({error}). Give another --name.") from error
    return replace(stored, **changes)


def initial_model(settings: PretrainSettings, run: Run, *, restart: bool) -> str:
    """Return the spec of the initial weights, with ``latest`` as resolved at the start and a seed for random ones."""
    model = settings.model
    if run.begun and not restart and model == "latest":
        model = run.read().identity.get("model", model)
    untrained = model.startswith("random:") and "@" not in model
    return f"{model}@{settings.seed}" if untrained and settings.seed else model


def claim(job: Job, lock: Lock, *, restart: bool) -> TransferkitError | None:
    """Lock and prepare the folder of a run, and return the error that prevents it, if there is one."""
    try:
        _prepare_folder(job, lock, restart=restart)
    except TransferkitError as error:
        return error
    return None


def _prepare_folder(job: Job, lock: Lock, *, restart: bool) -> None:
    """Lock the folder of a run, and write its description or check it.

    Raises: UsageError: if another process trains this run, or if it was started with other settings.
    """
    run = job.run
    if not lock.acquire(wait=False):
        raise UsageError(
            f"Another process is training the run {run.name}. Wait until it has finished, or give another --name."
        )
    if restart and run.begun:
        for path in run.folder.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    if run.begun:
        _require_same(job, run.read().identity)
        return
    if training_file(run).exists():  # the description was lost
        _require_same(job, load_tensors(training_file(run))[1].get("identity", {}))
    tensors = training_tensors(job.pretext, job.trainer.optimizer)
    size = sum(tensor.nbytes for tensor in tensors.values())
    require_space(
        run.folder, 4 * size, remedy="or name another --workspace"
    )  # weights, momentum, two encoders, and a file being replaced
    run.describe(job.description)


def _require_same(job: Job, stored: Mapping[str, Any]) -> None:
    """Refuse to resume a run that was started with other settings.

    Initial weights are compared only if there is no checkpoint, which contains the trained ones.

    Raises: UsageError: with the stored and the current value of each setting that differs.
    """
    current = dict(job.description.identity)
    if training_file(job.run).exists():
        current["weights"] = stored.get("weights")
    changed = [
        f"{key} was {stored.get(key)!r} and is {value!r}" for key, value in current.items() if stored.get(key) != value
    ]
    if changed:
        raise UsageError(
            f"The run {job.run.name} was started with other settings: {'; '.join(changed)}. "
            "Resume with the same settings, give the new run another --name, or replace it with --no-resume."
        )


def training_file(run: Run) -> Path:
    """Return the path of a run's checkpoint."""
    return run.folder / "training.safetensors"


def restored(job: Job) -> TrainingState:
    """Load the checkpoint of a run into its network, queue and optimizer, and return its training state."""
    path = training_file(job.run)
    if not path.exists():
        return TrainingState()
    tensors, state = load_tensors(path)
    try:
        _require_same(job, state["identity"])
        restore_training(tensors, job.pretext, job.trainer.optimizer, where=path)
        job.fabric.strategy.precision.load_state_dict(state["scaler"])
        return TrainingState(**state["standing"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} was written by another version ({error}). Restart the run with --no-resume."
        ) from error
