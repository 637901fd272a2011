"""The grid of tasks of a study: plain values with stable ids and dependencies.

``pretrain → extract → probe, analyze``, and ``pretrain → finetune``. A task is one run, one model on one data
set, or one protocol for them; settings of the machine (threads, memory, device) are not part of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.files import digest_of
from ..core.json_dataclass import JsonDataclass, to_plain
from ..core.results import recipe
from ..protocols.analyses.analysis import ANALYSES
from .study import Analyzing, Finetuning, Probing, Study

KINDS = ("pretrain", "extract", "probe", "finetune", "analyze")


@dataclass(frozen=True)
class Task(JsonDataclass):
    """A task of a study.

    Attributes:
        kind: one of ``KINDS``.
        title: title for display.
        what: plain values that determine the results, except contents of files.
        after: ids of tasks that must be finished first.
    """

    kind: str
    title: str
    what: Mapping[str, Any]
    after: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Id of the task, equal for the same work in every study."""
        return f"{self.kind}-{digest_of(dict(self.what))[:20]}"

    @property
    def models(self) -> tuple[str, ...]:
        """Specs of the encoders that the task uses."""
        return tuple(self.what.get("sizes", {}))


Grid = dict[str, Task]
"""Tasks by id; each task comes after its dependencies."""


def grid_of(study: Study) -> Grid:
    """Return the tasks of a study, grouped by data set, so that open data sets and loaded networks are reused."""
    runs: dict[str, Task] = {}
    for run in study.pretrain:
        what = {"run": run.run, "settings": to_plain(run.settings), "devices": run.devices}
        after = _ids(runs, [run.settings.model])
        runs[f"run:{run.run}"] = Task("pretrain", f"pretrain {run.run}", what, after)
    tasks = {task.id: task for task in runs.values()}
    wanted = _layers(study)
    for data in dict.fromkeys(key[1] for key in wanted):
        features: dict[tuple[str, int], list[str]] = {}
        for (model, of, seed), layers in wanted.items():
            for hand in range(study.workers_per_entry if of == data and layers else 0):
                task = _extraction(study, (model, data, seed), layers, hand)
                task = replace(task, after=_ids(runs, [model]))
                tasks[task.id] = task
                features.setdefault((model, seed), []).append(task.id)
        for task in _asked(study, data):
            after = _ids(runs, task.models)
            if task.kind != "finetune":
                after = tuple(one for model in task.models for one in features[model, task.what["seed"]])
            tasks.setdefault(task.id, replace(task, after=after))
    return tasks


def _ids(runs: Mapping[str, Task], models: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of the pretraining tasks of those models that this study trains."""
    made = (runs.get(model.removesuffix("@best")) for model in models)
    return tuple(task.id for task in made if task)


def _asked(study: Study, data: str) -> Iterator[Task]:
    """Yield all tasks on the features of one data set."""
    for probing in study.probe:
        yield from _probes(study, probing, data)
    for finetuning in study.finetune:
        yield from _finetunings(study, finetuning, data)
    for analysis in study.analyze:
        yield from _analyses(study, analysis, data)


def _layers(study: Study) -> dict[tuple[str, str, int], tuple[str, ...]]:
    """Return (model, data set, seed) → the layers that tasks need; none for fine-tuning only."""
    found: dict[tuple[str, str, int], dict[str, None]] = {}
    for one in study.asked:
        for data in one.scope.data:
            for model in one.scope.models:
                for seed in one.scope.seeds:
                    layers = found.setdefault((model, data, seed), {})
                    if not isinstance(one, Finetuning):
                        layers |= dict.fromkeys(one.scope.layers)
    return {key: tuple(layers) for key, layers in found.items()}


def _extraction(study: Study, key: tuple[str, str, int], layers: Sequence[str], hand: int) -> Task:
    model, data, seed = key
    what = {
        "sizes": {model: study.size(model)},
        "data": data,
        "seed": seed,
        "layers": list(layers),
        "precision": study.precision,
        "hand": hand,
    }
    workers_per_entry = f" ({hand + 1} of {study.workers_per_entry})" if study.workers_per_entry > 1 else ""
    title = f"extract {model} · {data}{_seeded(seed)}{workers_per_entry}"
    return Task("extract", title, what)


def _seeded(seed: int) -> str:
    return f" · seed {seed}" if seed else ""


def _probes(study: Study, probing: Probing, data: str) -> Iterator[Task]:
    scope = probing.scope
    for model in scope.models if data in scope.data else ():
        for seed in scope.seeds:
            what = {
                "protocol": probing.protocol,
                "settings": [to_plain(one) for one in probing.settings],
                "sizes": {model: study.size(model)},
                "data": data,
                "seed": seed,
                "layers": list(scope.layers),
                "precision": study.precision,
            }
            first = probing.settings[0].to_json()
            named = recipe(probing.protocol, {} if len(probing.settings) > 1 else first)
            yield Task("probe", f"{named} · {model} · {data}{_seeded(seed)}", what)


def _finetunings(study: Study, finetuning: Finetuning, data: str) -> Iterator[Task]:
    scope = finetuning.scope
    for model in scope.models if data in scope.data else ():
        for seed in scope.seeds:
            settings = {**to_plain(finetuning.settings), "seed": seed}
            settings["size"] = settings["size"] or study.size(model)
            what = {"sizes": {model: settings["size"]}, "data": data, "seed": seed, "settings": settings}
            yield Task("finetune", f"finetune · {model} · {data}{_seeded(seed)}", what)


def _analyses(study: Study, analysis: Analyzing, data: str) -> Iterator[Task]:
    """Yield the analyses of a data set: of all models together if they are compared, else per model."""
    scope = analysis.scope
    if data not in scope.data:
        return
    groups = [scope.models] if ANALYSES[analysis.kind].compares_models else [(model,) for model in scope.models]
    for models in groups:
        for seed in scope.seeds:
            what = {
                "analysis": analysis.kind,
                "settings": to_plain(analysis.settings) if analysis.settings else {},
                "sizes": {model: study.size(model) for model in models},
                "data": data,
                "seed": seed,
                "layers": list(scope.layers),
                "precision": study.precision,
            }
            named = models[0] if len(models) == 1 else f"{len(models)} models"
            yield Task("analyze", f"{analysis.kind} · {named} · {data}{_seeded(seed)}", what)
