"""The fine-tuning protocol: compare settings on held-out rows, train the best on all rows, score it on test."""

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

from ...core.errors import DataError, UsageError
from ...core.features import Features
from ...core.locks import Lock
from ...core.progress import SILENT
from ...core.proportions import accuracy_interval
from ...core.results import Cell, Result, Results, ResultStore, Score
from ...core.seeding import generator
from ...core.splitting import stratified_split
from ...data.dataset import Dataset, Split
from ...data.folder import require_class_folders
from ...data.loading import default_workers
from ...data.subset import chosen_rows, joined
from ...models.catalog import default_model, load_encoder
from ...models.encoder import Encoder
from ...probes.calibration import fitted_temperature
from ...probes.classification import Selection, Temperature, classification_score
from ...training.devices import chosen_precision, launched_fabric
from ...training.settings import TrainerConfig
from ..cells import network_cell
from ..context import RunContext
from ..dataset_catalog import expand_datasets
from ..one_label import require_one_label_each
from ..trained_on import note_trained_on, with_source
from .cached_activations import cached_activations
from .cost import check_on_rank_zero, require_short_training, steps_taken, training_images
from .export import keep_network, run_of
from .head_init import HeadInit, ProbeHeadInit, accuracy_drop_note, last_features
from .network import FinetuneNetwork
from .settings import FinetuneSettings, GridPoint
from .training import Predictions, TrainingLoop, TrainJob

PROTOCOL, SETTING = "finetune", "finetune-setting"
"""Protocol names of the record of a fine-tuned network, and of the records of the compared settings."""

LAYER = "all"


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that do not change its result.

    Attributes:
        force: recompute finished cells.
        yes: start even if the training takes hours on a CPU.
        keep: store the fine-tuned network in the workspace, as a run.
    """

    force: bool = False
    yes: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Finetuned:
    """Results of fine-tuning on one process.

    Attributes:
        results: one record per model and data set.
        process: global rank of this process; only rank 0 reports.
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
    """Fine-tune every model on every data set; finished cells are not trained again.

    Args:
        models: encoder specs; an empty list selects the default model.
        datasets: specs of data sets and groups of them.
        settings: the grid, and the settings that its points share.
        context: workspace and reporter.
        trainer_config: devices and processes; by default one process.
        run_options: options that do not change the result.

    Raises:
        UsageError: for invalid values, or if training takes hours on a CPU and ``yes`` is not set.
        DataError: for too few images, or several labels per image.
        ModelError: if the network cannot be trained, or training diverges; finished settings are kept.
    """
    trainer_config = trainer_config or TrainerConfig()
    runs = context.workspace.runs
    settings = replace(settings, precision=chosen_precision(settings.precision, trainer_config.device))
    specs = list(models) or [default_model(runs)]
    encoders = [load_encoder(spec, runs=runs, reporter=context.reporter) for spec in specs]
    fabric = launched_fabric(trainer_config, precision=settings.precision, folder=context.workspace.root)
    with fabric.rank_zero_first():  # rank 0 draws or fingerprints the images for all processes
        opened = [context.open(name) for name in expand_datasets(datasets)]
    for dataset in opened:
        require_class_folders(dataset)
    require_one_label_each(opened, what="fine-tuning")
    workers = default_workers() if trainer_config.workers is None else trainer_config.workers
    context = context if fabric.is_global_zero else replace(context, reporter=SILENT)
    run_options = run_options or RunOptions()
    targets = [
        _Target(spec, dataset, settings, context, fabric, workers, run_options) for dataset in opened for spec in specs
    ]
    for encoder, dataset in product(encoders, opened):
        note_trained_on(encoder, dataset.spec, context.reporter)
    if fabric.device.type == "cpu" and not run_options.yes:
        check_on_rank_zero(fabric, lambda: _require_short_training(targets, settings))
    return Finetuned(Results([target.result() for target in targets]), fabric.global_rank)


def _require_short_training(targets: Sequence["_Target"], settings: FinetuneSettings) -> None:
    """Refuse targets that together take hours, before the first training."""
    remaining = []
    for spec, one in {target.spec: target for target in targets}.items():
        images = sum(target.images_remaining() for target in targets if target.spec == spec)
        remaining.append((one.encoder(), images))
    require_short_training(remaining, settings)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows except test: ``train`` to compare settings, ``held_out`` to score them, and the probe of the head."""

    train: Split
    held_out: Split
    held_out_name: str
    probe: ProbeHeadInit | None

    def head_init(self, encoder: Encoder, rows: Split) -> HeadInit:
        return self.probe.head_init(rows) if self.probe else HeadInit.zero(encoder, len(rows.classes))


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
        """Return the stored record, or train and record the result."""
        cell = self._cell(PROTOCOL, self.settings.to_json())
        if found := self._shared_record(cell):
            if self.run_options.keep and not run_of(cell, self.context.workspace.runs).begun:
                self.context.reporter.note(
                    f"The fine-tuned weights of {self.spec} on {self.dataset.spec} were not kept. "
                    "Use --force --keep to train and keep them."
                )
            return found
        lock = Lock(self._folder(cell) / "lock")
        mine = lock.acquire(wait=False) if self.fabric.is_global_zero else True
        if not self.fabric.broadcast(mine):
            raise UsageError(
                f"Another process is fine-tuning {self.spec} on {self.dataset.spec}. Wait until it has finished."
            )
        try:
            return self._train(cell)
        finally:
            lock.release()

    def images_remaining(self) -> int:
        """Return the number of images that training still has to process before the result is recorded."""
        if self._found(final := self._cell(PROTOCOL, self.settings.to_json())):
            return 0
        grid, rows = self.settings.grid, sum(len(self.dataset.split(name)) for name in self._fitting_splits)
        trainings = [(final, max(grid, key=lambda setting: setting.batch), False)]
        if len(grid) > 1:
            trainings += [(self._setting_cell(setting), setting, True) for setting in grid]
        remaining = 0
        for cell, setting, search in trainings:
            if not self._found(cell):
                images = training_images(self.settings, setting, rows, search=search)
                done = steps_taken(self._folder(cell)) * setting.batch * self.fabric.world_size
                remaining += max(0, images - done)
        return remaining

    def _train(self, cell: Cell) -> Result:
        """Select a setting, train it on all rows and score it on test."""
        started = time.perf_counter()
        rows = self._rows()
        setting, choice = self._select_setting(rows)
        if self.settings.patience:
            fit = self._fit(setting, rows, rows.train, cell, held_out=rows.held_out)
        else:
            fit = self._fit(setting, rows, joined([self.dataset.split(n) for n in self._fitting_splits]), cell)
        fit.run()
        fitted = time.perf_counter()
        if self.settings.patience:  # early stopping selected the number of epochs on held-out rows
            chosen = {**choice.chosen, "epochs": len(fit.training_state.history)}
            choice = replace(choice, selected_on=rows.held_out_name, chosen=chosen)
        predictions = fit.predict(self.dataset.split("test"))
        score = self._score(predictions, choice, fit)
        score = replace(score, seconds={"fit": fitted - started, "score": time.perf_counter() - fitted})
        score = self._with_probe_accuracy(score, rows, fit.job.split)
        score = with_source(score, self.encoder().trained_on, self.dataset.spec)
        if self.run_options.keep:
            self._keep(fit.network, cell)
        return self._record(cell, score, fit, skipped=len(predictions.reasons))

    def _select_setting(self, rows: _Rows) -> tuple[GridPoint, Selection]:
        """Return the setting of the grid with the highest accuracy on held-out rows; of equals the first."""
        grid = self.settings.grid
        probe = {"penalty": rows.probe.penalty} if rows.probe else {}
        if len(grid) == 1:
            return grid[0], Selection(rows.held_out_name if probe else "none", probe)
        records = [self._evaluate_setting(setting, rows) for setting in grid]
        values = [record.value for record in records]
        best = int(np.argmax(values))
        compared = dict(zip(map(str, grid), values, strict=True))
        chosen = {**asdict(grid[best]), **probe, "compared": compared}
        return grid[best], Selection(
            rows.held_out_name, chosen, Temperature(records[best].extra_metrics["temperature"])
        )

    def _setting_cell(self, setting: GridPoint) -> Cell:
        return self._cell(SETTING, {**self.settings.to_json(), **asdict(setting)})

    def _evaluate_setting(self, setting: GridPoint, rows: _Rows) -> Result:
        """Return the record of one setting: its accuracy on held-out rows, and the temperature fitted to them."""
        cell = self._setting_cell(setting)
        if found := self._shared_record(cell):
            return found
        started = time.perf_counter()
        fit = self._fit(setting, rows, rows.train, cell, epochs=self.settings.search_epochs)
        fit.run()
        fitted = time.perf_counter()
        predictions = fit.predict(rows.held_out)
        labels = rows.held_out.labels[predictions.rows]
        correct = predictions.logits.argmax(1) == labels  # [n]
        score = Score(
            metric="top1",
            value=float(correct.mean()),
            interval=accuracy_interval(correct),
            n=len(labels),
            selected_on="none",
            evaluated_on=rows.held_out_name,
            extra_metrics={"temperature": fitted_temperature(_softmax(predictions), labels)},
            seconds={"fit": fitted - started, "score": time.perf_counter() - fitted},
        )
        return self._record(cell, score, fit, skipped=len(predictions.reasons))

    def _fit(
        self,
        setting: GridPoint,
        rows: _Rows,
        trained: Split,
        cell: Cell,
        *,
        held_out: Split | None = None,
        epochs: int = 0,
    ) -> TrainingLoop:
        """Return the training of a setting, initialised or restored from its last checkpoint."""
        encoder = self.encoder()
        fitting = [self.dataset.split(name) for name in self._fitting_splits]
        activations = cached_activations(encoder, fitting, self.settings, self.context)
        network = FinetuneNetwork(encoder, self.settings, rows.head_init(encoder, trained))
        identity = {"cell": cell.digest, "rows": trained.fingerprint, "processes": self.fabric.world_size}
        job = TrainJob(
            split=trained,
            preprocessing=encoder.preprocessing,
            settings=self.settings,
            setting=setting,
            epochs=epochs or self.settings.epochs,
            held_out=held_out,
            activations=activations,
            folder=self._folder(cell),
            identity={**identity, **asdict(setting)},
            workers=self.workers,
        )
        return TrainingLoop(network, job, fabric=self.fabric, reporter=self.context.reporter)

    def _score(self, predictions: Predictions, choice: Selection, fit: TrainingLoop) -> Score:
        test = self.dataset.split("test")
        readable = predictions.rows.tolist()
        rows = Features(
            predictions.logits,
            test.labels[predictions.rows],
            [test.ids[row] for row in readable],
            test.classes,
            groups=test.groups and tuple(test.groups[row] for row in readable),
        )
        curve = [{k: v for k, v in line.items() if k != "seconds"} for line in fit.training_state.history]
        extra = {"curve": curve, "steps": fit.training_state.step, "trained_rows": len(fit.job.split)}
        return classification_score(_softmax(predictions), rows, choice, extra_metrics=extra, seconds={})

    def _record(self, cell: Cell, score: Score, fit: TrainingLoop, *, skipped: int) -> Result:
        dim = fit.network.backbone.dim
        result = Result.of(cell, score, dim=dim, skipped_rows=skipped)
        if self.fabric.is_global_zero:
            self._store.add(result)
        fit.remove_checkpoint()
        return result

    def _shared_record(self, cell: Cell) -> Result | None:
        record: Result | None = self.fabric.broadcast(self._found(cell))
        return record

    def _found(self, cell: Cell) -> Result | None:
        """Return the stored record, unless ``force`` is set or it is an old record without a temperature."""
        found = None if self.run_options.force else self._store.find(cell)
        return None if found and found.protocol == SETTING and "temperature" not in found.extra_metrics else found

    def _rows(self) -> _Rows:
        """Split the rows: ``val`` is held out if it has rows, else a seeded, stratified fraction of train."""
        train, name = self.dataset.split("train"), "val"
        if "val" in self.dataset.splits and len(self.dataset.split("val")):
            held_out = self.dataset.split("val")
        else:
            fraction = self.settings.val_fraction
            rng = generator(self.settings.seed, "validation")
            kept, apart = stratified_split(train.labels, (1 - fraction, fraction), rng=rng, groups=train.groups)
            if not len(apart):
                few = "images" if train.groups is None else "groups of images"
                raise DataError(f"{self.dataset.spec} has too few {few} to hold some out. Add {few}.")
            name = f"{fraction:.0%} of train"
            held_out, train = chosen_rows(train, apart, name=name), chosen_rows(train, kept, name="rest of train")
        probe = None
        if self.settings.head == "probe":
            probe = ProbeHeadInit.chosen(self._features(self._fitting_splits), train, held_out)
        return _Rows(train, held_out, name, probe)

    def _features(self, names: Sequence[str]) -> dict[str, Features]:
        """Return the features of the last layer before fine-tuning, for each of the named splits."""
        splits = {name: self.dataset.split(name) for name in names}
        with self.fabric.rank_zero_first():
            return last_features(self.encoder(), splits, device=self.fabric.device.type, context=self.context)

    def _with_probe_accuracy(self, score: Score, rows: _Rows, trained: Split) -> Score:
        """Return the score with the accuracy of the initial probe added; print a note if that was higher."""
        if rows.probe is None:
            return score
        before = rows.probe.accuracy(trained, self._features(["test"])["test"])
        if score.value < before:
            subject = f"Fine-tuning {self.spec} on {self.dataset.spec}"
            self.context.reporter.note(f"{subject} {accuracy_drop_note(score.value, before)}")
        return replace(score, extra_metrics={**score.extra_metrics, "start_top1": before})

    @property
    def _fitting_splits(self) -> list[str]:
        return [name for name in self.dataset.splits if name != "test"]

    def encoder(self) -> Encoder:
        """Return a newly loaded encoder at the input size of the settings."""
        encoder = load_encoder(self.spec, runs=self.context.workspace.runs)
        own = encoder.preprocessing.crop
        return encoder.at(self.settings.size or min(own, self.settings.max_pixels or own))

    def _cell(self, protocol: str, settings: Mapping[str, Any]) -> Cell:
        return network_cell(
            self.encoder(),
            protocol,
            settings,
            data=self.dataset.spec,
            fingerprint=self.dataset.fingerprint,
            layer=LAYER,
            seed=self.settings.seed,
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
            self.context.reporter.note(f"The fine-tuned weights are stored as the model run:{run.name}")


def _softmax(predictions: Predictions) -> NDArray[np.float64]:
    probabilities: NDArray[np.float64] = softmax(predictions.logits.astype(np.float64), axis=1)  # [n, c]
    return probabilities
