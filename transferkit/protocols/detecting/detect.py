"""The detection protocol: a detector around a model is trained on train, and scored on the set's test."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric import Fabric

from ... import __version__
from ...cache.locks import Lock
from ...core.errors import UsageError
from ...core.files import digest_of
from ...core.progress import SILENT
from ...core.results import Cell, Result, Results, ResultStore
from ...core.seeding import seed_of
from ...data.budgets import split_spec
from ...data.catalog import is_boxed, known_datasets
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
from ..context import RunContext
from ..finetuning.cost import agreed, steps_taken
from ..finetuning.finetune import RunOptions
from ..pretraining.checkpoint import save_tensors
from ..pretraining.devices import chosen_precision, launched_fabric
from ..pretraining.settings import TrainerConfig
from ..trained_on import note_seen, with_source
from .backbone import detector_of
from .cost import require_patience
from .loading import require_objects
from .settings import DetectSettings
from .training import DetectionJob, Training

PROTOCOL = "detection"
LAYER = "all"
_NETWORK = "encoder.safetensors"


@dataclass(frozen=True)
class DetectionRunOptions(RunOptions):
    """What else a user may say.

    Attributes:
        on_error: what becomes of annotations that cannot be meant: ``skip`` or ``stop``.
    """

    on_error: OnFault = "skip"


@dataclass(frozen=True, eq=False)
class Detection:
    """One finished cell.

    Attributes:
        result: its record.
        dataset: what was searched.
        file: of the boxes that were found; it may have been removed since.
    """

    result: Result
    dataset: DetectionDataset
    file: Path


@dataclass(frozen=True)
class Detected:
    """What was found.

    Attributes:
        detections: one a model and data set.
        process: which of the processes says so; 0 is the one that speaks.
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
    """Train a detector around every model on every data set; finished ones are not trained again.

    Args:
        models: specs; none means the default model.
        datasets: specs of detection sets.
        settings: of the detectors.
        context: the workspace, and who is told.
        trainer_config: what it runs on; one process unless given.
        run_options: what else was said.

    Raises:
        UsageError: for what cannot be meant, or takes hours on a CPU and was not said yes to.
        DataError: for a set without boxes, or with too few images.
        ModelError: if no detector can stand on a model, or training diverges.
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
        context.reporter.note(f"No --model was named: the detector stands on {specs[0]}.")
    for spec in specs:  # each must carry a detector before the first is trained
        detector_of(load_encoder(spec, runs=runs, reporter=context.reporter), settings, 1)
    fabric = launched_fabric(trainer_config, precision=settings.precision, folder=context.workspace.root)
    told = context if fabric.is_global_zero else replace(context, reporter=SILENT)
    with fabric.rank_zero_first():  # which draws or fingerprints the images for all
        opened = [
            open_detection(name, root=context.workspace.data, on_error=run_options.on_error, reporter=told.reporter)
            for name in datasets
        ]
    workers = default_workers() if trainer_config.workers is None else trainer_config.workers
    targets = [
        _Target(spec, dataset, settings, told, fabric, workers, run_options) for dataset in opened for spec in specs
    ]
    if fabric.device.type == "cpu" and not run_options.yes:
        agreed(fabric, lambda: _require_patience(targets, settings))
    return Detected(tuple(target.detection() for target in targets), fabric.global_rank)


def _require_patience(targets: Sequence["_Target"], settings: DetectSettings) -> None:
    """Refuse targets that together take hours, before the first is trained."""
    left = []
    for spec, one in {target.spec: target for target in targets}.items():
        detector = detector_of(one.encoder(), settings, len(one.dataset.classes))
        images = sum(target.images_left() for target in targets if target.spec == spec)
        left.append((spec, detector, images))
    require_patience(left, settings)


def _require_boxes(spec: str) -> None:
    """Refuse a set whose images have classes alone.

    Raises: UsageError: naming the sets that have boxes; also for a budget of labels.
    """
    whole, budget = split_spec(spec)
    if is_boxed(whole) and budget:
        raise UsageError(
            f"{spec} has the budget {budget}, and --task detection knows none: it trains on all images of "
            f"{whole}. Leave the budget out."
        )
    labelled = whole.partition(":")[0] in DATASETS or whole in {known.name for known in known_datasets()}
    if labelled and not is_boxed(whole):
        raise UsageError(f"{spec} has no boxes, and --task detection needs some. Choose from: {', '.join(DETECTION)}.")


def rule_of(dataset: str) -> Rule:
    """The rule by which publications score a data set; VOC's unless it is COCO."""
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
        """The record that there is, else that of a training now."""
        encoder = self.encoder()
        note_seen(encoder, self.dataset.spec, self.context.reporter)
        cell = self._cell(encoder)
        folder = self._folder(cell)
        file = folder / "detections.npz"
        if found := self._recorded(cell):
            if self.run_options.keep and not (folder / _NETWORK).exists():
                self.context.reporter.note(
                    f"The weights of {self.spec} on {self.dataset.spec} were not kept when it was trained: "
                    "--force --keep trains it anew."
                )
            return Detection(found, self.dataset, file)
        lock = Lock(folder / "lock")
        mine = lock.acquire(wait=False) if self.fabric.is_global_zero else True
        if not self.fabric.broadcast(mine):
            raise UsageError(f"Another process trains a detector on {self.spec} and {self.dataset.spec}. Wait for it.")
        try:
            return Detection(self._trained(encoder, cell, file), self.dataset, file)
        finally:
            lock.release()

    def images_left(self) -> int:
        """Images that have yet to pass before there is a record."""
        cell = self._cell(self.encoder())
        if self._found(cell):
            return 0
        return (self.settings.iterations - steps_taken(self._folder(cell))) * self.settings.batch

    def _trained(self, encoder: Encoder, cell: Cell, file: Path) -> Result:
        """Train, search, score, record."""
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
        found, reasons = training.found(scored)
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
            extra_metrics=self._told(training),
            seconds={"fit": fitted - started},
        )
        score = replace(score, seconds={**score.seconds, "score": time.perf_counter() - fitted})
        score = with_source(score, encoder.trained_on, self.dataset.spec)
        dim = detector.roi_heads.box_predictor.cls_score.in_features
        result = Result.of(cell, score, dim=dim, skipped_rows=len(reasons), load_seconds=0.0)
        if self.fabric.is_global_zero:
            self._store.add(result)
        training.forget()
        return result

    def _told(self, training: Training) -> dict[str, Any]:
        """The learning curve, and what was left out of the data."""
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

    def _recorded(self, cell: Cell) -> Result | None:
        answer: Result | None = self.fabric.broadcast(self._found(cell))
        return answer

    def _found(self, cell: Cell) -> Result | None:
        return None if self.run_options.force else self._store.find(cell)

    def _folder(self, cell: Cell) -> Path:
        return self.context.workspace.finetuned / cell.digest[:32]

    def encoder(self) -> Encoder:
        """Afresh."""
        return load_encoder(self.spec, runs=self.context.workspace.runs)

    def _cell(self, encoder: Encoder) -> Cell:
        return Cell(
            protocol=PROTOCOL,
            model=encoder.spec,
            weights=encoder.weights,
            data=self.dataset.spec,
            fingerprint=digest_of({name: split.fingerprint for name, split in self.dataset.splits.items()}),
            layer=LAYER,
            pooling=encoder.pooling,
            view=encoder.view.to_json(),
            settings=self.settings.to_json(),
            seed=self.settings.seed,
            version=__version__,
        )

    @property
    def _store(self) -> ResultStore:
        return ResultStore(self.context.workspace.results)

    def _keep(self, training: Training, network: dict[str, Any], file: Path) -> None:
        """Leave the detector's weights, and those of its network as a model."""
        if not self.fabric.is_global_zero:
            return
        held = training.detector.state_dict()
        save_tensors(file.with_name("detector.safetensors"), held, {})
        path = file.with_name(_NETWORK)
        own = {name: value for name, value in network_weights(held).items() if name in network}
        encoder = self.encoder()
        trained_on = (*encoder.trained_on, self.dataset.spec)
        save_tensors(path, {**network, **own}, {}, trained_on=trained_on)
        architecture = encoder.architecture
        self.context.reporter.note(f"The fine-tuned weights are the model file:{path}#{architecture}")
