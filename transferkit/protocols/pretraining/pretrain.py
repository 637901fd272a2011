"""Train an encoder, or go on with a run exactly where it stopped."""

import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ...cache.locks import Lock
from ...core.errors import DataError, UsageError
from ...core.progress import SILENT, ProgressTask, Reporter
from ...models.catalog import load_encoder
from ...models.runs import Run
from ..context import RunContext
from ..one_label import require_one_label_each
from .checkpoint import save_tensors, training_tensors
from .devices import chosen_precision, launched_fabric, open_loggers
from .job import Job, job_of
from .memory import oom_hint
from .resuming import claim, first_weights, restored, training_file
from .settings import PretrainSettings, TrainerConfig
from .state import NonFiniteGuard, TrainingState

_REPLACE_OR_RENAME = "with --no-resume, which replaces this run, or under another --name"


@dataclass(frozen=True)
class Trained:
    """What a finished run left.

    Attributes:
        run: its name, as in ``run:NAME``.
        source: what was trained on what.
        history: one line per epoch: mean losses, ``knn`` when it was watched, ``seconds``.
        unreadable: how often an image could not be read, and another was shown in its place.
        process: which of the run's processes says so; 0 is the one that speaks.
    """

    run: str
    source: str
    history: list[dict[str, float]]
    unreadable: int = 0
    process: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "process"}


def default_name(settings: PretrainSettings) -> str:
    """The name of a run that was given none: which loss, which images, which network.

    >>> default_name(PretrainSettings(loss="ce + 0.5*selfsupcon", seed=1))
    'ce+0.5-selfsupcon_objects_resnet10t_seed1'
    """
    data = settings.data.rstrip("/").rpartition("/")[2].rpartition(":")[2]
    parts = [settings.loss.replace(" ", ""), data, settings.model.rpartition(":")[2]]
    parts += [f"seed{settings.seed}"] if settings.seed else []
    return "".join(c if c.isascii() and (c.isalnum() or c in "._+-") else "-" for c in "_".join(parts))


def pretrain(
    settings: PretrainSettings,
    *,
    context: RunContext,
    name: str | None = None,
    trainer_config: TrainerConfig | None = None,
    resume: bool | None = None,
) -> Trained:
    """Train an encoder; ``run:NAME`` is its spec from then on.

    Args:
        settings: everything that the weights depend on.
        context: workspace and reporter.
        name: of the run; ``default_name`` unless given.
        trainer_config: what it runs on; one process unless given.
        resume: whether to go on with the run where it stopped; None does if there is one. A finished run is
            not trained again. False begins anew.

    Raises:
        UsageError: for settings that cannot be meant, or differ from those that the run began with.
        DataError: for a data set without the classes, or the images, that the loss needs.
        CheckpointError: if the run's checkpoint is damaged or foreign.
        ModelError: if the network cannot be trained, the GPU has too little memory, or training diverges; the
            last checkpoint is intact.
    """
    trainer_config = trainer_config or TrainerConfig()
    _ = settings.objective, settings.pretext, settings.augmentation  # each refuses invalid values
    run = Run.named(default_name(settings) if name is None else name, context.workspace.runs)
    if resume and not run.begun:
        raise UsageError(f"There is no run {run.name} to go on with in {context.workspace.runs}.")
    settings = replace(settings, precision=chosen_precision(settings.precision, trainer_config.device))
    first = first_weights(settings, run, anew=resume is False)
    encoder = load_encoder(first, runs=context.workspace.runs, reporter=context.reporter)
    if encoder.spec.removesuffix("@best") == f"run:{run.name}":
        raise UsageError(f"{encoder.spec} cannot be trained into itself. Give the new run another --name.")
    fabric = launched_fabric(trainer_config, precision=settings.precision, folder=run.folder)
    with fabric.rank_zero_first():  # which draws or fingerprints the images for all
        dataset = context.open(settings.data)
    instead = "Use --loss selfsupcon with --data folder:PATH, of a folder that holds the images without classes"
    require_one_label_each([dataset], what="pretraining", instead=instead)
    settings = replace(settings, data=dataset.spec, model=encoder.spec)
    lock = Lock(run.folder / "lock")
    what = f"--batch {settings.batch} at --size {settings.size}"
    try:
        with oom_hint(what, _memory_hint(settings, processes=fabric.world_size)):
            job = job_of(settings, dataset, run, encoder=encoder, fabric=fabric, trainer_config=trainer_config)
            refusal = claim(job, lock, anew=resume is False) if fabric.is_global_zero else None
            if refusal := fabric.broadcast(refusal):  # so that no process waits for one that has stopped
                raise refusal
            reporter = context.reporter if fabric.is_global_zero else SILENT
            training_state = restored(job)
            with open_loggers(fabric, trainer_config.logger):  # once nothing clears their folder any more
                return _Training(job, training_state, reporter, trainer_config.checkpoint_minutes * 60).run()
    finally:
        lock.release()


def _memory_hint(settings: PretrainSettings, *, processes: int) -> str:
    """What takes less of a GPU's memory: half the batch, where that can still be cut."""
    half, twice = settings.batch // 2, settings.accumulate * 2
    shards = settings.pretext.splits_per_process(settings.objective, processes=processes)
    if half >= 2 * shards:
        less = f"--batch {half} --accumulate {twice}"
    else:
        less = "a smaller --size" + (", or fewer --bn-splits and a smaller --batch" if shards > 1 else "")
    return f"{less}, {_REPLACE_OR_RENAME}"


class _Training:
    """The epochs that are left."""

    def __init__(self, job: Job, training_state: TrainingState, reporter: Reporter, checkpoint_seconds: float) -> None:
        self.job, self.training_state, self.reporter = job, training_state, reporter
        self.checkpoint_seconds = checkpoint_seconds
        self.guard = NonFiniteGuard(
            training_state,
            advice="Training diverged; the last checkpoint, if there was one, is intact. "
            f"Lower --lr (now {job.settings.lr:g}), set --clip or use --precision fp32, {_REPLACE_OR_RENAME}.",
        )

    def run(self) -> Trained:
        """Train to the end."""
        job, training_state, trainer = self.job, self.training_state, self.job.trainer
        left = trainer.steps - training_state.step
        if training_state.step and left:
            self.reporter.note(
                f"Going on with the run {job.run.name} at step {training_state.step} of {trainer.steps}."
            )
        if left:
            label = f"{job.settings.loss} on {job.settings.data}"
            with self.reporter.task(label, left * trainer.global_batch, "images") as task:
                while training_state.step < trainer.steps:
                    self._epoch(task)
        elif job.run.read().finished:
            self.reporter.note(f"The run {job.run.name} is finished; --no-resume would train it anew.")
        self._finish()
        rank, source = job.fabric.global_rank, job.description.source
        return Trained(job.run.name, source, training_state.history, training_state.unreadable, rank)

    def _epoch(self, task: ProgressTask) -> None:
        """The rest of an epoch; a checkpoint when it has been long since the last, and at the end."""
        trainer, training_state = self.job.trainer, self.training_state
        started = saved = time.perf_counter()
        before = training_state.seconds
        for step in trainer.epoch(training_state.step):
            self._log(self.guard.add(step))
            training_state.step = step.number + 1
            self._tell_unreadable(step.reasons)
            task.advance(trainer.global_batch)
            now = time.perf_counter()
            training_state.seconds = before + now - started
            at_rest = training_state.step % self.job.settings.accumulate == 0  # no gradient is held
            within = training_state.step % trainer.steps_per_epoch  # its end is kept once it is in the history
            if now - saved > self.checkpoint_seconds and at_rest and within:
                self._save()
                saved = now
        self._close_epoch()

    def _log(self, readings: dict[str, float]) -> None:
        """Hand what was read, if anything was, to the loggers."""
        if readings:
            step = self.training_state.step
            self.job.fabric.log_dict({**readings, "lr": self.job.trainer.rate(step)}, step)

    def _close_epoch(self) -> None:
        self._log(self.guard.read())
        training_state, settings = self.training_state, self.job.settings
        number = len(training_state.history) + 1
        due = number == settings.epochs or (settings.eval_every and number % settings.eval_every == 0)
        extra = {}
        if due and self.job.monitor and self.job.fabric.is_global_zero:
            try:
                extra["knn"] = self.job.monitor.accuracy(self.job.pretext.encoder)
                self.job.fabric.log("knn", extra["knn"], training_state.step)
            except DataError as error:  # what is watched must not stop what is trained
                self.reporter.note(str(error))
        line = training_state.close_epoch(**extra)
        self.reporter.note(_spoken(line, settings.epochs))
        self._save(best=training_state.best_is_last)
        self.job.fabric.barrier()

    def _tell_unreadable(self, reasons: dict[int, str]) -> None:
        """Each epoch meets the same files; they are named once."""
        if reasons and not self.training_state.history:
            ids = self.job.trainer.split.ids
            for row, reason in reasons.items():
                self.reporter.note(f"{ids[row]} cannot be read: {reason}. Another image is shown in its place.")
        self.training_state.unreadable += len(reasons)

    def _save(self, *, best: bool = False) -> None:
        """Keep everything, from the process that speaks."""
        job = self.job
        if not job.fabric.is_global_zero:
            return
        self._log(self.guard.read())
        encoder, trained_on = job.backbone.weights(job.classifier), job.description.trained_on
        state = {
            "identity": dict(job.description.identity),
            "standing": self.training_state.to_json(),
            "scaler": job.fabric.strategy.precision.state_dict(),
        }
        if best:
            save_tensors(job.run.best, encoder, {}, trained_on=trained_on)
        save_tensors(job.run.newest, encoder, {}, trained_on=trained_on)
        tensors = training_tensors(job.pretext, job.trainer.optimizer)
        save_tensors(training_file(job.run), tensors, state)

    def _finish(self) -> None:
        job = self.job
        if job.fabric.is_global_zero and not (description := job.run.read()).finished:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            job.run.describe(replace(description, finished=now))


def _spoken(line: dict[str, float], epochs: int) -> str:
    """``epoch 3/12: total 2.911, ce 1.702, selfsupcon 2.418; k-NN 0.412 on held-out images (19 s)``."""
    losses = ", ".join(f"{k} {v:.3f}" for k, v in line.items() if k not in ("epoch", "knn", "seconds", "gradient_norm"))
    knn = f"; k-NN {line['knn']:.3f} on held-out images" if "knn" in line else ""
    return f"epoch {line['epoch']:.0f}/{epochs}: {losses}{knn} ({line['seconds']:.0f} s)"
