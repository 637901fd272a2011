"""The fine-tuning protocol: settings judged on held-out rows, the best trained on all and scored on test."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric import Fabric
from numpy.typing import NDArray
from scipy.special import softmax

from ... import __version__
from ...cache.locks import Lock
from ...core.errors import DataError, UsageError
from ...core.features import Features
from ...core.progress import SILENT
from ...core.proportions import accuracy_interval
from ...core.results import Cell, Result, Results, ResultStore, Score
from ...core.seeding import generator
from ...core.splitting import stratified_split
from ...data.catalog import expand_datasets
from ...data.dataset import Dataset, Split
from ...data.folder import require_class_folders
from ...data.loading import default_workers
from ...data.subset import chosen_rows, joined
from ...models.catalog import default_model, load_encoder
from ...models.encoder import Encoder
from ...probes.calibration import fitted_temperature
from ...probes.classification import Choice, Temperature, classification_score
from ..context import RunContext
from ..one_label import require_one_label_each
from ..pretraining.devices import chosen_precision, launched_fabric
from ..pretraining.settings import TrainerConfig
from ..trained_on import note_seen, with_source
from .cached_activations import cached_maps
from .cost import agreed, images_of, require_patience, steps_taken
from .export import keep_network, run_of
from .head_init import HeadInit, ProbeHeadInit, below_start, last_features
from .network import FinetuneNetwork
from .settings import FinetuneSettings, Setting
from .training import Predictions, TrainingLoop, TrainJob

PROTOCOL, SETTING = "finetune", "finetune-setting"
"""Of the record of a fine-tuned network, and of those of the settings that were compared."""

LAYER = "all"


@dataclass(frozen=True)
class RunOptions:
    """What else a user may say.

    Attributes:
        force: compute finished cells anew.
        yes: begin however long it takes.
        keep: leave the fine-tuned network in the workspace, as a run.
    """

    force: bool = False
    yes: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Finetuned:
    """What was found.

    Attributes:
        results: one record a model and data set.
        process: which of the processes says so; 0 is the one that speaks.
    """

    results: Results
    process: int = 0


def finetune(
    models: Sequence[str],
    datasets: Sequence[str],
    settings: FinetuneSettings,
    *,
    context: RunContext,
    trainer_config: TrainerConfig | None = None,
    run_options: RunOptions | None = None,
) -> Finetuned:
    """Fine-tune every model on every data set; finished ones are not trained again.

    Args:
        models: specs; none means the default model.
        datasets: specs and groups.
        settings: the grid, and what its settings have in common.
        context: the workspace, and who is told.
        trainer_config: what it runs on; one process unless given.
        run_options: what else was said.

    Raises:
        UsageError: for what cannot be meant, or takes hours on a CPU and was not said yes to.
        DataError: for too few images, or several labels an image.
        ModelError: if the network cannot be trained, or training diverges; finished settings are kept.
    """
    trainer_config = trainer_config or TrainerConfig()
    runs = context.workspace.runs
    settings = replace(settings, precision=chosen_precision(settings.precision, trainer_config.device))
    specs = list(models) or [default_model(runs)]
    encoders = [load_encoder(spec, runs=runs, reporter=context.reporter) for spec in specs]
    fabric = launched_fabric(trainer_config, precision=settings.precision, folder=context.workspace.root)
    with fabric.rank_zero_first():  # which draws or fingerprints the images for all
        opened = [context.open(name) for name in expand_datasets(datasets)]
    for dataset in opened:
        require_class_folders(dataset)
    require_one_label_each(opened, what="fine-tuning")
    workers = default_workers() if trainer_config.workers is None else trainer_config.workers
    told = context if fabric.is_global_zero else replace(context, reporter=SILENT)
    run_options = run_options or RunOptions()
    targets = [
        _Target(spec, dataset, settings, told, fabric, workers, run_options) for dataset in opened for spec in specs
    ]
    for encoder, dataset in product(encoders, opened):
        note_seen(encoder, dataset.spec, told.reporter)
    if fabric.device.type == "cpu" and not run_options.yes:
        agreed(fabric, lambda: _require_patience(targets, settings))
    return Finetuned(Results([target.result() for target in targets]), fabric.global_rank)


def _require_patience(targets: Sequence["_Target"], settings: FinetuneSettings) -> None:
    """Refuse targets that together take hours, before the first is trained."""
    left = []
    for spec, one in {target.spec: target for target in targets}.items():
        images = sum(target.images_left() for target in targets if target.spec == spec)
        left.append((one.encoder(), images))
    require_patience(left, settings)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows that may be fitted: those that candidates train on, and those that judge them."""

    train: Split
    held: Split
    held_name: str
    starts: ProbeHeadInit | None

    def start(self, encoder: Encoder, rows: Split) -> HeadInit:
        return self.starts.start(rows) if self.starts else HeadInit.zero(encoder, len(rows.classes))


@dataclass(frozen=True, eq=False)
class _Target:
    """One model on one data set."""

    spec: str
    dataset: Dataset
    settings: FinetuneSettings
    context: RunContext
    fabric: Fabric
    workers: int
    run_options: RunOptions

    def result(self) -> Result:
        """The record that there is, else that of a training now."""
        cell = self._cell(PROTOCOL, self.settings.to_json())
        if found := self._recorded(cell):
            if self.run_options.keep and not run_of(cell, self.context.workspace.runs).begun:
                self.context.reporter.note(
                    f"The fine-tuned weights of {self.spec} on {self.dataset.spec} were not kept: "
                    "--force --keep trains them anew."
                )
            return found
        lock = Lock(self._folder(cell) / "lock")
        mine = lock.acquire(wait=False) if self.fabric.is_global_zero else True
        if not self.fabric.broadcast(mine):
            raise UsageError(f"Another process is fine-tuning {self.spec} on {self.dataset.spec}. Wait for it.")
        try:
            return self._trained(cell)
        finally:
            lock.release()

    def images_left(self) -> int:
        """Images that have yet to pass before there is a record."""
        if self._found(final := self._cell(PROTOCOL, self.settings.to_json())):
            return 0
        grid, rows = self.settings.grid, sum(len(self.dataset.split(name)) for name in self._fitting)
        trainings = [(final, max(grid, key=lambda setting: setting.batch), False)]
        if len(grid) > 1:
            trainings += [(self._setting_cell(setting), setting, True) for setting in grid]
        left = 0
        for cell, setting, choosing in trainings:
            if not self._found(cell):
                images = images_of(self.settings, setting, rows, choosing=choosing)
                passed = steps_taken(self._folder(cell)) * setting.batch * self.fabric.world_size
                left += max(0, images - passed)
        return left

    def _trained(self, cell: Cell) -> Result:
        """Choose a setting, train it on all rows, score it."""
        started = time.perf_counter()
        rows = self._rows()
        setting, choice = self._choice(rows)
        if self.settings.patience:
            fit = self._fit(setting, rows, rows.train, cell, held=rows.held)
        else:
            fit = self._fit(setting, rows, joined([self.dataset.split(n) for n in self._fitting]), cell)
        fit.run()
        fitted = time.perf_counter()
        if self.settings.patience:  # held-out rows chose when to stop
            chosen = {**choice.chosen, "epochs": len(fit.training_state.history)}
            choice = replace(choice, selected_on=rows.held_name, chosen=chosen)
        answers = fit.answers(self.dataset.split("test"))
        score = self._score(answers, choice, fit)
        score = replace(score, seconds={"fit": fitted - started, "score": time.perf_counter() - fitted})
        score = self._compared_with_start(score, rows, fit.job.split)
        score = with_source(score, self.encoder().trained_on, self.dataset.spec)
        if self.run_options.keep:
            self._keep(fit.network, cell)
        return self._finished(cell, score, fit, skipped=len(answers.reasons))

    def _choice(self, rows: _Rows) -> tuple[Setting, Choice]:
        """The setting of the grid that is most accurate on the held-out rows; the first of equals."""
        grid = self.settings.grid
        probe = {"penalty": rows.starts.penalty} if rows.starts else {}
        if len(grid) == 1:
            return grid[0], Choice(rows.held_name if probe else "none", probe)
        tried = [self._tried(setting, rows) for setting in grid]
        values = [record.value for record in tried]
        best = int(np.argmax(values))
        compared = dict(zip(map(str, grid), values, strict=True))
        chosen = {**asdict(grid[best]), **probe, "compared": compared}
        return grid[best], Choice(rows.held_name, chosen, Temperature(tried[best].extra_metrics["temperature"]))

    def _setting_cell(self, setting: Setting) -> Cell:
        return self._cell(SETTING, {**self.settings.to_json(), **asdict(setting)})

    def _tried(self, setting: Setting, rows: _Rows) -> Result:
        """The accuracy of one setting on the held-out rows, and the temperature of its answers there."""
        cell = self._setting_cell(setting)
        if found := self._recorded(cell):
            return found
        started = time.perf_counter()
        fit = self._fit(setting, rows, rows.train, cell, epochs=self.settings.search_epochs)
        fit.run()
        fitted = time.perf_counter()
        answers = fit.answers(rows.held)
        labels = rows.held.labels[answers.rows]
        right = answers.logits.argmax(1) == labels
        score = Score(
            metric="top1",
            value=float(right.mean()),
            interval=accuracy_interval(right),  # nobody is shown it
            n=len(labels),
            selected_on="none",
            evaluated_on=rows.held_name,
            extra_metrics={"temperature": fitted_temperature(_softmax(answers), labels)},
            seconds={"fit": fitted - started, "score": time.perf_counter() - fitted},
        )
        return self._finished(cell, score, fit, skipped=len(answers.reasons))

    def _fit(
        self,
        setting: Setting,
        rows: _Rows,
        trained: Split,
        cell: Cell,
        *,
        held: Split | None = None,
        epochs: int = 0,
    ) -> TrainingLoop:
        """A network at its beginning, or where its last checkpoint left it."""
        encoder = self.encoder()
        fitting = [self.dataset.split(name) for name in self._fitting]
        maps = cached_maps(encoder, fitting, self.settings, self.context)
        network = FinetuneNetwork(encoder, self.settings, rows.start(encoder, trained))
        identity = {"cell": cell.digest, "rows": trained.fingerprint, "processes": self.fabric.world_size}
        job = TrainJob(
            split=trained,
            view=encoder.view,
            settings=self.settings,
            setting=setting,
            epochs=epochs or self.settings.epochs,
            held=held,
            maps=maps,
            folder=self._folder(cell),
            identity={**identity, **asdict(setting)},
            workers=self.workers,
        )
        return TrainingLoop(network, job, fabric=self.fabric, reporter=self.context.reporter)

    def _score(self, answers: Predictions, choice: Choice, fit: TrainingLoop) -> Score:
        test = self.dataset.split("test")
        read = answers.rows.tolist()
        rows = Features(
            answers.logits,
            test.labels[answers.rows],
            [test.ids[row] for row in read],
            test.classes,
            groups=test.groups and tuple(test.groups[row] for row in read),
        )
        curve = [{k: v for k, v in line.items() if k != "seconds"} for line in fit.training_state.history]
        told = {"curve": curve, "steps": fit.training_state.step, "trained_rows": len(fit.job.split)}
        return classification_score(_softmax(answers), rows, choice, extra_metrics=told, seconds={})

    def _finished(self, cell: Cell, score: Score, fit: TrainingLoop, *, skipped: int) -> Result:
        dim = fit.network.backbone.dim
        result = Result.of(cell, score, dim=dim, skipped_rows=skipped, load_seconds=0.0)
        if self.fabric.is_global_zero:
            self._store.add(result)
        fit.forget()
        return result

    def _recorded(self, cell: Cell) -> Result | None:
        answer: Result | None = self.fabric.broadcast(self._found(cell))
        return answer

    def _found(self, cell: Cell) -> Result | None:
        """The record, unless it is to be made anew, or comes from before settings kept their temperature."""
        found = None if self.run_options.force else self._store.find(cell)
        return None if found and found.protocol == SETTING and "temperature" not in found.extra_metrics else found

    def _rows(self) -> _Rows:
        """Those of ``val`` judge where there are any, else a seeded and stratified share of train."""
        train, name = self.dataset.split("train"), "val"
        if "val" in self.dataset.splits and len(self.dataset.split("val")):
            held = self.dataset.split("val")
        else:
            share = self.settings.val_fraction
            rng = generator(self.settings.seed, "validation")
            kept, apart = stratified_split(train.labels, (1 - share, share), rng=rng, groups=train.groups)
            if not len(apart):
                few = "images" if train.groups is None else "groups of images"
                raise DataError(f"{self.dataset.spec} has too few {few} to hold some out. Add {few}.")
            name = f"{share:.0%} of train"
            held, train = chosen_rows(train, apart, name=name), chosen_rows(train, kept, name="rest of train")
        starts = None
        if self.settings.head == "probe":
            starts = ProbeHeadInit.chosen(self._features(self._fitting), train, held)
        return _Rows(train, held, name, starts)

    def _features(self, names: Sequence[str]) -> dict[str, Features]:
        """Of the last layer of the network before it is fine-tuned, for each of the named splits."""
        splits = {name: self.dataset.split(name) for name in names}
        with self.fabric.rank_zero_first():
            return last_features(self.encoder(), splits, device=self.fabric.device.type, context=self.context)

    def _compared_with_start(self, score: Score, rows: _Rows, trained: Split) -> Score:
        """The score with the accuracy of the probe that training started from; a note if it was higher."""
        if rows.starts is None:
            return score
        before = rows.starts.accuracy(trained, self._features(["test"])["test"])
        if score.value < before:
            what = f"Fine-tuning {self.spec} on {self.dataset.spec}"
            self.context.reporter.note(f"{what} {below_start(score.value, before)}")
        return replace(score, extra_metrics={**score.extra_metrics, "start_top1": before})

    @property
    def _fitting(self) -> list[str]:
        return [name for name in self.dataset.splits if name != "test"]

    def encoder(self) -> Encoder:
        """Afresh, at the size it is shown."""
        encoder = load_encoder(self.spec, runs=self.context.workspace.runs)
        own = encoder.view.crop
        return encoder.at(self.settings.size or min(own, self.settings.max_pixels or own))

    def _cell(self, protocol: str, settings: Mapping[str, Any]) -> Cell:
        encoder = self.encoder()
        return Cell(
            protocol=protocol,
            model=encoder.spec,
            weights=encoder.weights,
            data=self.dataset.spec,
            fingerprint=self.dataset.fingerprint,
            layer=LAYER,
            pooling=encoder.pooling,
            view=encoder.view.to_json(),
            settings=settings,
            seed=self.settings.seed,
            version=__version__,
        )

    @property
    def _store(self) -> ResultStore:
        return ResultStore(self.context.workspace.results)

    def _folder(self, cell: Cell) -> Path:
        return self.context.workspace.finetuned / cell.digest[:32]

    def _keep(self, network: FinetuneNetwork, cell: Cell) -> None:
        if self.fabric.is_global_zero:
            run = run_of(cell, self.context.workspace.runs)
            keep_network(network, self.encoder(), run, self.dataset)
            self.context.reporter.note(f"The fine-tuned weights are the model run:{run.name}")


def _softmax(answers: Predictions) -> NDArray[np.float64]:
    probabilities: NDArray[np.float64] = softmax(answers.logits.astype(np.float64), axis=1)
    return probabilities
