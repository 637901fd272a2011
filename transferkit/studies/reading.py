"""Parse a study file or preset into a study; no data set or model is opened."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..core.errors import UsageError
from ..core.registry import unknown_name
from ..models.catalog import require_known_model
from ..probes import PROBES
from ..protocols.analyses.analysis import ANALYSES
from ..protocols.dataset_catalog import expand_datasets
from ..protocols.evaluate import eval_request
from ..protocols.finetuning.presets import preset_settings as finetune_settings
from ..protocols.finetuning.settings import FinetuneSettings
from ..protocols.pretraining.presets import preset_settings as pretrain_settings
from ..protocols.pretraining.settings import PretrainSettings
from .presets import PRESETS, preset_text
from .study import Analyzing, Finetuning, Pretraining, Probing, Scope, Study
from .tables import Table

_SCOPE = ("models", "data", "layers", "seeds")
_TABLES = ("pretrain", "probe", "finetune", "analyze")
_TOP = ("name", *_SCOPE, "precision", "workers_per_entry", "sizes", *_TABLES)
_PATHS = ("folder", "file", "imagenet", "miniimagenet")


def read_study(spec: str) -> Study:
    """Read the study of a preset's name or a path.

    Raises:
        UnknownNameError: if ``spec`` is neither, with the closest preset.
        UsageError: for an invalid study, with the file, the table and the key.
    """
    return parse_study(study_text(spec), where=spec)


def study_text(spec: str) -> str:
    """Return the text of a preset or file; raises as ``read_study`` does."""
    if spec in PRESETS:
        return preset_text(spec)
    path = Path(spec).expanduser()
    if not path.is_file():
        if path.suffix == ".toml" or len(path.parts) > 1:
            raise UsageError(f"{spec} is not a file. Write a study file, or choose from: {', '.join(PRESETS)}.")
        raise unknown_name("study", spec, list(PRESETS))
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{spec} cannot be read as text ({error}). Give a TOML file.") from error


def parse_study(text: str, *, where: str) -> Study:
    """Parse a study.

    Args:
        text: text of a study file, in TOML.
        where: file name for errors; its stem is the default name of the study.

    Raises: UsageError: with the file and the key.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not valid TOML: {error}.") from error
    top = Table(where, values)
    top.require_known(*_TOP)
    name = top.get("name", str, Path(where).stem)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", name):
        raise top.refuse(f"name = {name!r} is not a valid folder name: use at most 64 letters, digits, . _ + -")
    runs = tuple(_pretrainings(top, name))
    base = _scope(top, Scope((), ()))
    base = replace(base, models=tuple(dict.fromkeys([*base.models, *(f"run:{run.run}" for run in runs)])))
    study = Study(
        name=name,
        scope=base,
        sizes=_sizes(top),
        precision=top.get("precision", str, "auto"),
        workers_per_entry=top.get("workers_per_entry", int, 1),
        pretrain=runs,
        probe=tuple(_each(top, "probe", base, _probings)),
        finetune=tuple(_each(top, "finetune", base, _finetunings)),
        analyze=tuple(_each(top, "analyze", base, _analyses)),
    )
    _require_valid(study, top)
    return study


def _require_valid(study: Study, top: Table) -> None:
    """Refuse studies without tasks, and input sizes of models that no task uses."""
    if study.precision not in ("auto", "fp32", "bf16"):
        raise top.refuse(f"precision = {study.precision!r} is unknown. Choose from: auto, fp32, bf16.")
    if study.workers_per_entry < 1:
        raise top.refuse(f"workers_per_entry = {study.workers_per_entry} is too small: give 1 or more.")
    if not study.asked and not study.pretrain:
        raise top.refuse("the grid is empty: add [[pretrain]], [[probe]], [[finetune]] or [[analyze]].")
    models = {model for one in study.asked for model in one.scope.models}
    for name in study.sizes:
        if not any(fnmatchcase(model, name) for model in models):
            near = get_close_matches(name, models, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Choose from: {', '.join(sorted(models))}."
            raise top.refuse(f"[sizes] {name!r} is not a model of this study. {hint}")


def _sizes(top: Table) -> Mapping[str, int]:
    values: dict[str, Any] = top.get("sizes", dict, {})
    table = Table(f"{top.where} [sizes]", values)
    sizes = {name: int(table.get(name, int, 0)) for name in values}
    for name, pixels in sizes.items():
        if pixels < 1:
            raise table.refuse(f"{name} = {pixels} is too small: give 1 pixel or more.")
    return sizes


def _each(top: Table, kind: str, base: Scope, make: Callable[[Table, Scope], Iterator[Any]]) -> Iterator[Any]:
    """Yield the parts of a study that the tables ``[[kind]]`` describe, each with its own scope."""
    for table in top.tables(kind):
        scope = _scope(table, base)
        for key, value in (("models", scope.models), ("data", scope.data)):
            if not value:
                raise table.refuse(f"the grid is empty: no {key} are named, here or at the top of the file.")
        yield from make(table, scope)


def _scope(table: Table, base: Scope) -> Scope:
    """Return the scope of a table, with defaults from ``base``; patterns select among the models of ``base``."""
    data = table.get("data", tuple[str, ...], ())
    models: dict[str, None] = {}
    for spec in table.get("models", tuple[str, ...], base.models):
        models |= dict.fromkeys(_models(table, spec, base.models))
    return Scope(
        models=tuple(models),
        data=tuple(table.settled(expand_datasets, [_absolute(spec) for spec in data])) if data else base.data,
        layers=table.get("layers", tuple[str, ...], base.layers),
        seeds=tuple(dict.fromkeys(table.get("seeds", tuple[int, ...], base.seeds))),
    )


def _models(table: Table, spec: str, among: Sequence[str]) -> Sequence[str]:
    """Return a model's spec with an absolute path, or the models of a pattern; ``latest`` is refused, as it changes."""
    if spec.partition("@")[0] == "latest":
        raise table.refuse('models: "latest" changes with every run: give a run as "run:NAME".')
    if "*" not in spec:
        table.settled(require_known_model, spec)
        return [_absolute(spec)]
    found = [model for model in among if fnmatchcase(model, spec)]
    if not found:
        raise table.refuse(f"models: {spec!r} matches none of: {', '.join(among) or 'no models at all'}.")
    return found


def _absolute(spec: str) -> str:
    scheme, colon, rest = spec.partition(":")
    return f"{scheme}:{Path(rest).expanduser().absolute()}" if colon and scheme in _PATHS else spec


def _pretrainings(top: Table, study: str) -> Iterator[Pretraining]:
    """Yield the pretraining runs of all tables, each with a unique name."""
    seen: dict[str, str] = {}
    for table in top.tables("pretrain"):
        preset = table.get("preset", str, "mini")
        devices = table.get("devices", int, 1)
        if devices < 1:
            raise table.refuse(f"devices = {devices} is too small: give 1 or more.")
        variants = list(table.variants(PretrainSettings, "name", "preset", "devices"))
        varied = [key for key in variants[0] if len({str(one[key]) for one in variants}) > 1]
        for changes in variants:
            changes |= {key: _absolute(changes[key]) for key in ("data", "model") if key in changes}
            settings = table.settled(pretrain_settings, preset, changes)
            table.settled(require_known_model, settings.model)
            table.settled(expand_datasets, [settings.data])
            run = _run_name(table.get("name", str, ""), study, settings, varied)
            if run in seen:
                raise table.refuse(f"two runs have the name {run}: give one of them another name.")
            seen[run] = table.where
            table.settled(lambda settings=settings: settings.augmentation)
            yield Pretraining(run, settings, devices)


def _run_name(name: str, study: str, settings: PretrainSettings, varied: list[str]) -> str:
    """Return the name of a run: the given name or the study's, followed by the values in which the runs differ."""
    parts = [name or study]
    if not name or "loss" in varied:
        parts.append(settings.loss.replace(" ", ""))
    parts += [f"{key}{getattr(settings, key)}" for key in varied if key != "loss"]
    return "".join(c if c.isascii() and (c.isalnum() or c in "._+-") else "-" for c in "-".join(parts))


def _probings(table: Table, scope: Scope) -> Iterator[Probing]:
    protocol = table.get("protocol", str, "linear")
    probe = table.settled(PROBES.__getitem__, protocol)
    variants = list(table.variants(probe.settings_type, "protocol", *_SCOPE))
    for name, values in probe.lists.items():
        if values and name not in table.values:
            variants = [{**changes, name: value} for value in values for changes in variants]
    requested = [table.settled(eval_request, protocol, **changes).settings for changes in variants]
    settings = tuple(probe.made_comparable(requested))
    if probe.batched:
        yield Probing(protocol, settings, scope)
    else:
        yield from (Probing(protocol, (one,), scope) for one in settings)


def _finetunings(table: Table, scope: Scope) -> Iterator[Finetuning]:
    preset = table.get("preset", str, "quick")
    for changes in table.variants(FinetuneSettings, "preset", *_SCOPE):
        yield Finetuning(table.settled(finetune_settings, preset, changes), scope)


def _analyses(table: Table, scope: Scope) -> Iterator[Analyzing]:
    kind = table.get("kind", str, "")
    if kind not in ANALYSES:
        raise table.refuse(f"kind = {kind!r} is not an analysis. Choose from: {', '.join(ANALYSES)}.")
    settings_type = ANALYSES[kind].settings_type
    if settings_type is None:
        table.require_known("kind", *_SCOPE)
        yield Analyzing(kind, None, scope)
        return
    for changes in table.variants(settings_type, "kind", *_SCOPE):
        yield Analyzing(kind, table.settled(settings_type, **changes), scope)
