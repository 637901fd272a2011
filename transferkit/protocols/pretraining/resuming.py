"""Going on with a run: its settings, its first weights, its folder, and where it stopped."""

import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ...cache.locks import Lock
from ...core.errors import CheckpointError, TransferkitError, UsageError
from ...core.files import require_space
from ...models.runs import Run
from .checkpoint import load_tensors, restore_training, training_tensors
from .job import Job
from .presets import preset_settings
from .settings import PretrainSettings
from .state import TrainingState


def settings_for(preset: str | None, changes: Mapping[str, Any], *, name: str | None, runs: Path) -> PretrainSettings:
    """Those of the run ``name`` where it has begun and no preset is asked for, else the preset's; changed.

    Args:
        preset: its name; None is ``mini``.
        changes: fields with other values.
        name: of a run that may have begun; None begins a new one.
        runs: the workspace's folder of runs.

    Raises:
        UsageError: if a preset needs data that were not named, or a value is invalid.
        CheckpointError: if the run was not made by pretraining.
    """
    run = Run.named(name, runs) if name else None
    if preset or run is None or not run.begun:
        return preset_settings(preset or "mini", changes)
    identity = run.read().identity
    names = {field.name for field in fields(PretrainSettings)}
    if not names <= identity.keys():
        raise CheckpointError(f"The run {name} was not made by this pretraining. Give another --name.")
    try:
        kept = PretrainSettings(**{key: identity[key] for key in names})
    except (TypeError, UsageError) as error:
        raise CheckpointError(f"{run.folder / 'run.json'} is damaged ({error}). Give another --name.") from error
    return replace(kept, **changes)


def first_weights(settings: PretrainSettings, run: Run, *, anew: bool) -> str:
    """The model's spec: what ``latest`` was when the run began, and a seed for an untrained network."""
    model = settings.model
    if run.begun and not anew and model == "latest":
        model = run.read().identity.get("model", model)
    untrained = model.startswith("random:") and "@" not in model
    return f"{model}@{settings.seed}" if untrained and settings.seed else model


def claim(job: Job, lock: Lock, *, anew: bool) -> TransferkitError | None:
    """Make the folder ours, or make sure that it is; what keeps us from it, if anything does."""
    try:
        _take(job, lock, anew=anew)
    except TransferkitError as error:
        return error
    return None


def _take(job: Job, lock: Lock, *, anew: bool) -> None:
    """Make the folder ours, or make sure that it is.

    Raises: UsageError: if another process trains this run, or if it was begun with other settings.
    """
    run = job.run
    if not lock.acquire(wait=False):
        raise UsageError(f"Another process is training the run {run.name}. Wait for it, or give another --name.")
    if anew and run.begun:
        for path in run.folder.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    if run.begun:
        _require_same(job, run.read().identity)
        return
    if training_file(run).exists():  # whose description was lost
        _require_same(job, load_tensors(training_file(run))[1].get("identity", {}))
    tensors = training_tensors(job.pretext, job.trainer.optimizer)
    size = sum(tensor.nbytes for tensor in tensors.values())
    require_space(run.folder, 4 * size)  # weights, momentum, two encoders, and a file being replaced
    run.describe(job.description)


def _require_same(job: Job, then: Mapping[str, Any]) -> None:
    """Refuse to go on with what has begun otherwise.

    The first weights count only until there is a checkpoint, which holds all that became of them.

    Raises: UsageError: naming each setting that differs, then and now.
    """
    now = dict(job.description.identity)
    if training_file(job.run).exists():
        now["weights"] = then.get("weights")
    changed = [f"{key} was {then.get(key)!r} and is {value!r}" for key, value in now.items() if then.get(key) != value]
    if changed:
        raise UsageError(
            f"The run {job.run.name} was begun with other settings: {'; '.join(changed)}. "
            "Go on with those, give the new run another --name, or replace it with --no-resume."
        )


def training_file(run: Run) -> Path:
    """Everything that training needs to go on."""
    return run.folder / "training.safetensors"


def restored(job: Job) -> TrainingState:
    """Where the run stopped, with weights, queue and optimizer as they were then."""
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
            f"{path} was written by another version ({error}). Begin the run anew with --no-resume."
        ) from error
