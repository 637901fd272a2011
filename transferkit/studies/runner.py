"""Run tasks in this process."""

import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ..cache.store import FeatureStore
from ..core.errors import DataError, ModelError, StudyError, TransferkitError
from ..core.files import sorted_json
from ..core.results import Result
from ..core.workspace import Workspace
from ..models.catalog import load_encoder
from ..models.encoder import Encoder
from ..models.layers import resolve_layers
from ..probes import PROBES
from ..protocols.analyses.analysis import ANALYSES
from ..protocols.context import RunContext
from ..protocols.evaluate import EvalRequest, Evaluator
from ..protocols.extract import Extractor
from ..protocols.finetuning.finetune import RunOptions, finetune
from ..protocols.finetuning.settings import FinetuneSettings
from ..protocols.layer_features import LayerFeatures, require_classified
from ..protocols.pretraining.pretrain import pretrain
from ..protocols.pretraining.settings import PretrainSettings
from ..protocols.settings import ExtractSettings
from ..training.settings import TrainerConfig
from .grid import Task
from .outcome import Outcome, ResourceGrant
from .task_store import TaskRecord, TaskStore

MOST_LOADED = 4  # maximum number of encoders that a process keeps for further tasks


@dataclass(eq=False)
class TaskRunner:
    """Runs tasks, and keeps loaded encoders between them.

    Attributes:
        workspace: folders of data, features and results.
        share: resources of the process.
    """

    workspace: Workspace
    share: ResourceGrant = field(default_factory=ResourceGrant)
    task_store: TaskStore = field(init=False)
    _extractors: dict[str, Extractor] = field(default_factory=dict)
    _shared: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.task_store = TaskStore(RunContext(self.workspace))

    def attempt(self, task: Task) -> Outcome:
        """Run ``task``, and return its outcome; any error becomes part of the outcome."""
        started = time.perf_counter()
        task_record, error, trace = None, "", ""
        try:
            task_record = self.perform(task)
        except Exception as wrong:
            expected = isinstance(wrong, TransferkitError)
            lines = str(wrong).splitlines() or [""]
            error = str(wrong) if expected else f"{type(wrong).__name__}: {lines[0]}"
            trace = traceback.format_exc()
        seconds = time.perf_counter() - started
        return Outcome(task.id, task_record, " ".join(error.split()), trace, socket.gethostname(), seconds)

    def perform(self, task: Task) -> TaskRecord:
        """Run ``task``, and store its record.

        Raises: TransferkitError: errors of its protocol.
        """
        started = time.perf_counter()
        stamp = None if task.kind == "pretrain" else self.task_store.stamp(task)
        entries: tuple[str, ...] = ()
        results: list[Result] = []
        if task.kind == "extract":
            entries = tuple(self._extract(task.what))
        else:
            results = list(_PERFORMED[task.kind](self, task.what))
        stamp = self.task_store.stamp(task) if task.kind == "pretrain" else stamp
        cells = tuple(dict.fromkeys(result.cell for result in results))
        task_record = TaskRecord(stamp or {}, cells, entries, time.perf_counter() - started)
        self.task_store.keep(task, task_record)
        return task_record

    def _extract(self, what: Mapping[str, Any]) -> Iterator[str]:
        dataset = self.task_store.open(what["data"], what["seed"])
        for model in what["sizes"]:
            extractor = self._available(model, what)
            for split in dataset.splits.values():
                yield extractor.open(split).run().key.digest

    def _pretrain(self, what: Mapping[str, Any]) -> Iterator[Result]:
        if what["devices"] > 1:
            _train_together(what, self.workspace, self.share)
        else:
            trainer_config = TrainerConfig(device=self._device, workers=self.share.loaders)
            train(what, self.workspace, trainer_config)
        return iter(())

    def _probe(self, what: Mapping[str, Any]) -> Iterator[Result]:
        kind = PROBES[what["protocol"]].settings_type
        requests = [EvalRequest(what["protocol"], kind.from_json(one)) for one in what["settings"]]
        extraction = self._extraction(what)
        evaluator = Evaluator(self._context(what), extraction, max_memory=self.share.memory)
        dataset = self.task_store.open(what["data"], what["seed"])
        problems: dict[str, None] = {}
        for model in what["sizes"]:
            for answer in evaluator.evaluate(self._extractor(model, what), dataset, requests, self._shared):
                if isinstance(answer, Result):
                    yield answer
                else:
                    problems[str(answer)] = None
        if problems:
            raise DataError(" ".join(problems))

    def _finetune(self, what: Mapping[str, Any]) -> Iterator[Result]:
        settings = FinetuneSettings.from_json(what["settings"])
        trainer_config = TrainerConfig(device=self._device, workers=self.share.loaders)
        context, run_options = self._context(what), RunOptions(yes=True)
        found = finetune(
            list(what["sizes"]),
            [what["data"]],
            settings,
            context=context,
            trainer_config=trainer_config,
            run_options=run_options,
        )
        return iter(found.results)

    def _analyze(self, what: Mapping[str, Any]) -> Iterator[Result]:
        analysis, dataset = ANALYSES[what["analysis"]], self.task_store.open(what["data"], what["seed"])
        require_classified([dataset], analysis.classified)
        models = [LayerFeatures(self._extractor(model, what), dataset, self._context(what)) for model in what["sizes"]]
        kind = analysis.settings_type
        return analysis.records(models, kind.from_json(what["settings"]) if kind else None)

    def _context(self, what: Mapping[str, Any]) -> RunContext:
        return RunContext(self.workspace, what["seed"])

    @property
    def _device(self) -> Any:
        return self.share.device

    def _extraction(self, what: Mapping[str, Any]) -> ExtractSettings:
        """Return the extraction settings of a task, with the input size of its first model."""
        precision = what["precision"]
        return ExtractSettings(
            layers=tuple(what["layers"]),
            size=next(iter(what["sizes"].values())),
            device=self.share.device,
            precision=self.share.precision if precision == "auto" else precision,
            workers=self.share.loaders,
        )

    def _available(self, model: str, what: Mapping[str, Any]) -> Extractor:
        """Return the extractor for the layers that the model has; tasks that need other layers report them."""
        try:
            return self._extractor(model, what)
        except TransferkitError:
            encoder = load_encoder(model, runs=self.workspace.runs)
            available = available_layers(encoder, replace(self._extraction(what), size=what["sizes"][model]))
            return self._extractor(model, {**what, "layers": available})

    def _extractor(self, model: str, what: Mapping[str, Any]) -> Extractor:
        """Return the extractor of a model; the model is loaded again if its weights have changed."""
        settings = replace(self._extraction(what), size=what["sizes"][model])
        key = repr((model, settings, self.task_store.weights(model)))
        if key in self._extractors:
            self._extractors[key] = self._extractors.pop(key)  # moves it to the end of the order of removal
        else:
            while len(self._extractors) >= MOST_LOADED:
                self._extractors.pop(next(iter(self._extractors)))
            store = FeatureStore(self.workspace.features)
            encoder = load_encoder(model, runs=self.workspace.runs)
            self._extractors[key] = Extractor(encoder, settings, store=store)
        return self._extractors[key]


_PERFORMED: dict[str, Callable[[TaskRunner, Mapping[str, Any]], Iterator[Result]]] = {
    "pretrain": TaskRunner._pretrain,
    "probe": TaskRunner._probe,
    "finetune": TaskRunner._finetune,
    "analyze": TaskRunner._analyze,
}


def available_layers(encoder: Encoder, settings: ExtractSettings) -> tuple[str, ...]:
    """Return the requested layers that the encoder has; all requested layers if it has none of them."""
    had = []
    for layer in settings.layers:
        with suppress(TransferkitError):
            resolve_layers(encoder.at(settings.size), [layer], settings.pooling)
            had.append(layer)
    return tuple(had) or settings.layers


def train(what: Mapping[str, Any], workspace: Workspace, trainer_config: TrainerConfig) -> None:
    """Run a task of the kind ``pretrain`` in this process.

    Raises: TransferkitError: errors of pretraining, with advice for studies.
    """
    settings = PretrainSettings.from_json(what["settings"])
    try:
        pretrain(settings, context=RunContext(workspace), name=what["run"], trainer_config=trainer_config)
    except TransferkitError as error:
        if "--name" not in str(error) and "--no-resume" not in str(error):
            raise
        raise StudyError(
            f"{error} In a study, set name in [[pretrain]] instead of --name, and instead of --no-resume remove the "
            f"folder {workspace.runs / what['run']}."
        ) from error


def _train_together(what: Mapping[str, Any], workspace: Workspace, share: ResourceGrant) -> None:
    """Train a run in several processes of this machine, started by torch's launcher.

    They end with this process: their standard input is a pipe whose other end only this process holds open.

    Raises: ModelError: with the error of the processes.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(what["devices"]), "-m", "transferkit.studies.engines.ddp_worker"]
    environment = {
        **os.environ,
        "TRANSFERKIT_WORKSPACE": str(workspace.root),
        "TRANSFERKIT_DATA": str(workspace.data),
        "OMP_NUM_THREADS": str(max(1, share.threads // what["devices"])),
    }
    if gpus := os.environ.get("TRANSFERKIT_GPUS"):  # all GPUs of the machine, although this process may have one
        environment["CUDA_VISIBLE_DEVICES"] = gpus
    silent, held = os.pipe()
    try:
        done = subprocess.run(
            command,
            stdin=silent,
            env={**environment, "TRANSFERKIT_TASK": sorted_json({**what, "device": share.device})},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(silent)
        os.close(held)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        reason = errors[0].removeprefix("Error: ") if errors else done.stderr.strip().splitlines()[-1]
        raise ModelError(f"The {what['devices']} processes of the run {what['run']} ended: {reason}")
