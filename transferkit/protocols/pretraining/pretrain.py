"""Train an encoder, or resume a run exactly where it stopped."""

import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ...core.errors import DataError, UsageError
from ...core.locks import Lock
from ...core.progress import SILENT, ProgressTask, Reporter
from ...models.catalog import load_encoder
from ...models.runs import Run
from ...training.checkpoints import save_tensors, training_tensors
from ...training.devices import chosen_precision, launched_fabric, open_loggers
from ...training.memory import oom_hint
from ...training.settings import TrainerConfig
from ...training.state import NonFiniteGuard, TrainingState
from ..context import RunContext
from ..one_label import require_one_label_each
from .job import Job, job_of
from .resuming import claim, initial_model, restored, training_file
from .settings import PretrainSettings

_REPLACE_OR_RENAME = "with --no-resume, which replaces this run, or under another --name"


@dataclass(frozen=True)
class Trained:
    """Result of a finished run.

    Attributes:
        run: name of the run, as in ``run:NAME``.
        source: description of the loss, data set and model.
        history: one line per epoch: mean losses, ``knn`` if evaluated, ``seconds``.
        unreadable: number of unreadable images, for each of which another image was used.
        process: global rank of this process; only rank 0 reports.
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
    """Return the default name of a run, made of loss, data set, network and seed.

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
        settings: settings that determine the weights.
        context: workspace and reporter.
        name: name of the run; by default ``default_name``.
        trainer_config: devices and processes; by default one process.
        resume: True resumes the run where it stopped, False restarts it, None resumes it if it exists. A finished
            run is not trained again.

    Raises:
        UsageError: for invalid settings, or settings other than those with which the run was started.
        DataError: for a data set without the classes or images that the loss needs.
        CheckpointError: if the checkpoint of the run is damaged or belongs to another network.
        ModelError: if the network cannot be trained, the GPU has too little memory, or training diverges; the
            last checkpoint stays intact.
    """
    trainer_config = trainer_config or TrainerConfig()
    _ = settings.objective, settings.pretext, settings.augmentation  # each property refuses invalid values
    run = Run.named(default_name(settings) if name is None else name, context.workspace.runs)
    if resume and not run.begun:
        raise UsageError(
            f"There is no run {run.name} to resume in {context.workspace.runs}. Check --name, or leave --resume out."
        )
    settings = replace(settings, precision=chosen_precision(settings.precision, trainer_config.device))
    initial = initial_model(settings, run, restart=resume is False)
    encoder = load_encoder(initial, runs=context.workspace.runs, reporter=context.reporter)
    if encoder.spec.removesuffix("@best") == f"run:{run.name}":
        raise UsageError(f"{encoder.spec} cannot be trained into itself. Give the new run another --name.")
    fabric = launched_fabric(trainer_config, precision=settings.precision, folder=run.folder)
    with fabric.rank_zero_first():  # rank 0 draws or fingerprints the images for all processes
        dataset = context.open(settings.data)
    instead = "Use --loss selfsupcon with --data folder:PATH, of a folder that contains the images without classes"
    require_one_label_each([dataset], what="pretraining", instead=instead)
    settings = replace(settings, data=dataset.spec, model=encoder.spec)
    lock = Lock(run.folder / "lock")
    subject = f"--batch {settings.batch} at --size {settings.size}"
    try:
        with oom_hint(subject, _memory_hint(settings, processes=fabric.world_size)):
            job = job_of(settings, dataset, run, encoder=encoder, fabric=fabric, trainer_config=trainer_config)
            failure = claim(job, lock, restart=resume is False) if fabric.is_global_zero else None
            if failure := fabric.broadcast(failure):  # so that no process waits for one that has stopped
                raise failure
            reporter = context.reporter if fabric.is_global_zero else SILENT
            training_state = restored(job)
            with open_loggers(fabric, trainer_config.logger):  # after claim, which may clear their folder
                return _Training(job, training_state, reporter, trainer_config.checkpoint_minutes * 60).run()
    finally:
        lock.release()


def _memory_hint(settings: PretrainSettings, *, processes: int) -> str:
    """Return options that need less GPU memory: half the batch size, if it can be split for batch normalisation."""
    half, twice = settings.batch // 2, settings.accumulate * 2
    splits = settings.pretext.splits_per_process(settings.objective, processes=processes)
    if half >= 2 * splits:
        options = f"--batch {half} --accumulate {twice}"
    else:
        options = "a smaller --size" + (", or fewer --bn-splits and a smaller --batch" if splits > 1 else "")
    return f"{options}, {_REPLACE_OR_RENAME}"


class _Training:
    """The remaining epochs of a run."""

    def __init__(self, job: Job, training_state: TrainingState, reporter: Reporter, checkpoint_seconds: float) -> None:
        self.job, self.training_state, self.reporter = job, training_state, reporter
        self.checkpoint_seconds = checkpoint_seconds
        self.guard = NonFiniteGuard(
            training_state,
            advice="Training diverged; the last checkpoint, if there is one, is intact. "
            f"Lower --lr (now {job.settings.lr:g}), set --clip or use --precision fp32, {_REPLACE_OR_RENAME}.",
        )

    def run(self) -> Trained:
        """Train to the end."""
        job, training_state, trainer = self.job, self.training_state, self.job.trainer
        remaining = trainer.steps - training_state.step
        if training_state.step and remaining:
            self.reporter.note(f"Resuming the run {job.run.name} at step {training_state.step} of {trainer.steps}.")
        if remaining:
            label = f"{job.settings.loss} on {job.settings.data}"
            with self.reporter.task(label, remaining * trainer.global_batch, "images") as task:
                while training_state.step < trainer.steps:
                    self._epoch(task)
        elif job.run.read().finished:
            self.reporter.note(f"The run {job.run.name} is finished; use --no-resume to train it again.")
        self._finish()
        rank, source = job.fabric.global_rank, job.description.source
        return Trained(job.run.name, source, training_state.history, training_state.unreadable, rank)

    def _epoch(self, task: ProgressTask) -> None:
        """Train the rest of an epoch, with checkpoints at intervals and at the end."""
        trainer, training_state = self.job.trainer, self.training_state
        started = saved = time.perf_counter()
        before = training_state.seconds
        for step in trainer.epoch(training_state.step):
            self._log(self.guard.add(step))
            training_state.step = step.number + 1
            self._report_unreadable(step.reasons)
            task.advance(trainer.global_batch)
            now = time.perf_counter()
            training_state.seconds = before + now - started
            updated = training_state.step % self.job.settings.accumulate == 0  # no accumulated gradients
            within = training_state.step % trainer.steps_per_epoch  # the end of an epoch is saved with its history
            if now - saved > self.checkpoint_seconds and updated and within:
                self._save()
                saved = now
        self._close_epoch()

    def _log(self, readings: dict[str, float]) -> None:
        """Log the readings, if there are any."""
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
            except DataError as error:  # the monitor must not stop training
                self.reporter.note(str(error))
        line = training_state.close_epoch(**extra)
        self.reporter.note(_epoch_note(line, settings.epochs))
        self._save(best=training_state.best_is_last)
        self.job.fabric.barrier()

    def _report_unreadable(self, reasons: dict[int, str]) -> None:
        """Count unreadable images, and print a note for each in the first epoch."""
        if reasons and not self.training_state.history:
            ids = self.job.trainer.split.ids
            for row, reason in reasons.items():
                self.reporter.note(f"{ids[row]} cannot be read: {reason}. Another image is used instead.")
        self.training_state.unreadable += len(reasons)

    def _save(self, *, best: bool = False) -> None:
        """Write weights and checkpoint, on rank 0 only."""
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


def _epoch_note(line: dict[str, float], epochs: int) -> str:
    """Return e.g. ``epoch 3/12: total 2.911, ce 1.702, selfsupcon 2.418; k-NN 0.412 on held-out images (19 s)``."""
    losses = ", ".join(f"{k} {v:.3f}" for k, v in line.items() if k not in ("epoch", "knn", "seconds", "gradient_norm"))
    knn = f"; k-NN {line['knn']:.3f} on held-out images" if "knn" in line else ""
    return f"epoch {line['epoch']:.0f}/{epochs}: {losses}{knn} ({line['seconds']:.0f} s)"
