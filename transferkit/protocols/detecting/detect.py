"""The detection protocol: train a detector with a model as its backbone on train, and score it on test."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric import Fabric

from ...core.errors import UsageError
from ...core.files import digest_of
from ...core.locks import Lock
from ...core.progress import SILENT
from ...core.results import Cell, Result, Results, ResultStore
from ...core.seeding import seed_of
from ...data.budgets import split_spec
from ...data.dataset import DATASETS
from ...data.detection import DETECTION, open_detection
from ...data.detection.boxed import DetectionDataset, OnFault
from ...data.loading import default_workers
from ...detection.assembly import network_weights
from ...detection.coco import require_evaluator
from ...detection.detections import write_found
from ...detection.matching import Rule
from ...detection.scoring import Search, detection_score
from ...models.catalog import default_model, load_encoder
from ...models.encoder import Encoder
from ...training.checkpoints import save_tensors
from ...training.devices import chosen_precision, launched_fabric
from ...training.settings import TrainerConfig
from ..cells import network_cell
from ..context import RunContext
from ..dataset_catalog import is_boxed, known_datasets
from ..finetuning.cost import check_on_rank_zero, steps_taken
from ..finetuning.finetune import RunOptions
from ..trained_on import note_trained_on, with_source
from .backbone import detector_of
from .cost import require_short_training
from .loading import require_objects
from .settings import DetectSettings
from .training import DetectionJob, Training

PROTOCOL = "detection"
LAYER = "all"
_NETWORK = "encoder.safetensors"


@dataclass(frozen=True)
class DetectionRunOptions(RunOptions):
    """Options of a run that do not change its settings.

    Attributes:
        on_error: handling of invalid annotations: ``skip`` or ``stop``.
    """

    on_error: OnFault = "skip"


@dataclass(frozen=True, eq=False)
class Detection:
    """A finished cell: one model on one data set.

    Attributes:
        result: the record.
        dataset: the data set.
        file: file of the detected boxes; it may have been removed since.
    """

    result: Result
    dataset: DetectionDataset
    file: Path


@dataclass(frozen=True)
class Detected:
    """Results of the detection protocol on one process.

    Attributes:
        detections: finished cells, one per model and data set.
        process: global rank of this process; only rank 0 reports.
    """

    detections: tuple[Detection, ...]
    process: int = 0

    @property
    def results(self) -> Results:
        """The records."""
        return Results([one.result for one in self.detections])


def detect(
    models: Sequence[str],
    datasets: Sequence[str],
    settings: DetectSettings,
    *,
    context: RunContext,
    trainer_config: TrainerConfig | None = None,
    run_options: DetectionRunOptions | None = None,
) -> Detected:
    """Train a detector on every data set for every model as backbone; finished cells are not trained again.

    Args:
        models: encoder specs; an empty list selects the default model.
        datasets: specs of detection data sets.
        settings: settings of the detectors.
        context: workspace and reporter.
        trainer_config: devices and processes; by default one process.
        run_options: further options, such as ``force``.

    Raises:
        UsageError: for invalid values, or if training takes hours on a CPU and ``yes`` is not set.
        DataError: for a data set without boxes, or with too few images.
        ModelError: if a model cannot be the backbone of a detector, or training diverges.
        MissingExtraError: without the extra ``detection``.
    """
    require_evaluator()
    trainer_config, run_options = trainer_config or TrainerConfig(), run_options or DetectionRunOptions()
    runs = context.workspace.runs
    settings = replace(settings, precision=chosen_precision(settings.precision, trainer_config.device))
    for name in datasets:
        _require_boxes(name)
    specs = list(models) or [default_model(runs)]
    if not models:
        context.reporter.note(f"No --model was given: the backbone of the detector is {specs[0]}.")
    for spec in specs:  # check every backbone before the first training
        detector_of(load_encoder(spec, runs=runs, reporter=context.reporter), settings, 1)
    fabric = launched_fabric(trainer_config, precision=settings.precision, folder=context.workspace.root)
    context = context if fabric.is_global_zero else replace(context, reporter=SILENT)
    with fabric.rank_zero_first():  # rank 0 draws or fingerprints the images for all processes
        opened = [
            open_detection(name, root=context.workspace.data, on_error=run_options.on_error, reporter=context.reporter)
            for name in datasets
        ]
    workers = default_workers() if trainer_config.workers is None else trainer_config.workers
    targets = [
        _Target(spec, dataset, settings, context, fabric, workers, run_options) for dataset in opened for spec in specs
    ]
    if fabric.device.type == "cpu" and not run_options.yes:
        check_on_rank_zero(fabric, lambda: _require_short_training(targets, settings))
    return Detected(tuple(target.detection() for target in targets), fabric.global_rank)


def _require_short_training(targets: Sequence["_Target"], settings: DetectSettings) -> None:
    """Refuse targets that together take hours, before the first training."""
    remaining = []
    for spec, one in {target.spec: target for target in targets}.items():
        detector = detector_of(one.encoder(), settings, len(one.dataset.classes))
        images = sum(target.images_remaining() for target in targets if target.spec == spec)
        remaining.append((spec, detector, images))
    require_short_training(remaining, settings)


def _require_boxes(spec: str) -> None:
    """Refuse a data set whose images have class labels but no boxes.

    Raises: UsageError: with the names of the data sets that have boxes; also for a budget of labels.
    """
    whole, budget = split_spec(spec)
    if is_boxed(whole) and budget:
        raise UsageError(
            f"{spec} has the budget {budget}, which --task detection does not support: it trains on all images of "
            f"{whole}. Leave the budget out."
        )
    labelled = whole.partition(":")[0] in DATASETS or whole in {known.name for known in known_datasets()}
    if labelled and not is_boxed(whole):
        raise UsageError(f"{spec} has no boxes, which --task detection needs. Choose from: {', '.join(DETECTION)}.")


def rule_of(dataset: str) -> Rule:
    """Return the evaluation rule that publications use for a data set: COCO's for COCO, else VOC's."""
    return "coco" if dataset.partition(":")[0] == "coco" else "voc"


@dataclass(frozen=True, eq=False)
class _Target:
    """One model on one data set."""

    spec: str
    dataset: DetectionDataset
    settings: DetectSettings
    context: RunContext
    fabric: Fabric
    workers: int
    run_options: DetectionRunOptions

    def detection(self) -> Detection:
        """Return the finished cell: the stored record, or that of a new training."""
        encoder = self.encoder()
        note_trained_on(encoder, self.dataset.spec, self.context.reporter)
        cell = self._cell(encoder)
        folder = self._folder(cell)
        file = folder / "detections.npz"
        if found := self._shared_record(cell):
            if self.run_options.keep and not (folder / _NETWORK).exists():
                self.context.reporter.note(
                    f"The weights of {self.spec} on {self.dataset.spec} were not kept. "
                    "Use --force --keep to train and keep them."
                )
            return Detection(found, self.dataset, file)
        lock = Lock(folder / "lock")
        mine = lock.acquire(wait=False) if self.fabric.is_global_zero else True
        if not self.fabric.broadcast(mine):
            raise UsageError(
                f"Another process is training a detector on {self.spec} and {self.dataset.spec}. Wait until it has "
                "finished."
            )
        try:
            return Detection(self._train(encoder, cell, file), self.dataset, file)
        finally:
            lock.release()

    def images_remaining(self) -> int:
        """Return the number of images that training still has to process before the result is recorded."""
        cell = self._cell(self.encoder())
        if self._found(cell):
            return 0
        return (self.settings.iterations - steps_taken(self._folder(cell))) * self.settings.batch

    def _train(self, encoder: Encoder, cell: Cell, file: Path) -> Result:
        """Train a detector, detect objects, and score and record the result."""
        started = time.perf_counter()
        train, scored = self.dataset.split("train"), self.dataset.split(self.dataset.scored_on)
        require_objects(train, scored)
        network = {name: value.clone() for name, value in encoder.module.state_dict().items()}
        detector = detector_of(encoder, self.settings, len(self.dataset.classes))
        identity = {"cell": cell.digest, "rows": train.fingerprint, "processes": self.fabric.world_size}
        job = DetectionJob(train, self.settings, file.parent, identity, self.workers)
        training = Training(detector, job, fabric=self.fabric, reporter=self.context.reporter)
        training.run()
        training.recompute_statistics()
        fitted = time.perf_counter()
        found, reasons = training.detect(scored)
        if self.fabric.is_global_zero:
            write_found(file, found)
        if self.run_options.keep:
            self._keep(training, network, file)
        readable = [row for row in range(len(scored)) if row not in reasons]
        search = Search(
            [found[row] for row in readable],
            [scored.objects[row] for row in readable],
            scored.sizes[np.array(readable, np.int64)],
            scored.classes,
            scored.name,
        )
        score = detection_score(
            search,
            rule=rule_of(self.dataset.spec),
            seed=seed_of(self.settings.seed, self.dataset.spec),
            extra_metrics=self._extra_metrics(training),
            seconds={"fit": fitted - started},
        )
        score = replace(score, seconds={**score.seconds, "score": time.perf_counter() - fitted})
        score = with_source(score, encoder.trained_on, self.dataset.spec)
        dim = detector.roi_heads.box_predictor.cls_score.in_features
        result = Result.of(cell, score, dim=dim, skipped_rows=len(reasons))
        if self.fabric.is_global_zero:
            self._store.add(result)
        training.remove_checkpoint()
        return result

    def _extra_metrics(self, training: Training) -> dict[str, Any]:
        """Return the learning curve, and the number of skipped annotations and images."""
        training_state = training.training_state
        lines = [{k: v for k, v in line.items() if k != "seconds"} for line in training_state.history]
        faults = {
            name: dict(Counter(fault.kind for fault in split.faults))
            for name, split in self.dataset.splits.items()
            if split.faults
        }
        return {
            "curve": lines,
            "steps": training_state.step,
            "trained_rows": len(training.job.split),
            "unreadable_in_training": training_state.unreadable,
            "left_out": faults,
        }

    def _shared_record(self, cell: Cell) -> Result | None:
        record: Result | None = self.fabric.broadcast(self._found(cell))
        return record

    def _found(self, cell: Cell) -> Result | None:
        return None if self.run_options.force else self._store.find(cell)

    def _folder(self, cell: Cell) -> Path:
        return self.context.workspace.finetuned / cell.digest[:32]

    def encoder(self) -> Encoder:
        """Return a newly loaded encoder."""
        return load_encoder(self.spec, runs=self.context.workspace.runs)

    def _cell(self, encoder: Encoder) -> Cell:
        return network_cell(
            encoder,
            PROTOCOL,
            self.settings.to_json(),
            data=self.dataset.spec,
            fingerprint=digest_of({name: split.fingerprint for name, split in self.dataset.splits.items()}),
            layer=LAYER,
            seed=self.settings.seed,
        )

    @property
    def _store(self) -> ResultStore:
        return ResultStore(self.context.workspace.results)

    def _keep(self, training: Training, network: dict[str, Any], file: Path) -> None:
        """Store the weights of the detector, and those of its backbone as a model."""
        if not self.fabric.is_global_zero:
            return
        weights = training.detector.state_dict()
        save_tensors(file.with_name("detector.safetensors"), weights, {})
        path = file.with_name(_NETWORK)
        trained = {name: value for name, value in network_weights(weights).items() if name in network}
        encoder = self.encoder()
        trained_on = (*encoder.trained_on, self.dataset.spec)
        save_tensors(path, {**network, **trained}, {}, trained_on=trained_on)
        architecture = encoder.architecture
        self.context.reporter.note(f"The fine-tuned weights are stored as the model file:{path}#{architecture}")
