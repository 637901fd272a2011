"""The public Python API: extraction and probing for any network and any map-style data set, with the same cache."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from .cache.store import FeatureStore
from .core.errors import DataError, UsageError
from .core.features import Features
from .core.files import digest_of
from .core.groups import require_disjoint_groups
from .core.labels import stratify_labels
from .core.preprocessing import Preprocessing
from .core.registry import unknown_name
from .core.results import Results
from .core.seeding import generator
from .core.splitting import stratified_split
from .core.wording import counted
from .core.workspace import Workspace
from .data.arrays import from_torch_dataset
from .data.dataset import Dataset, Split
from .models.catalog import load_encoder
from .models.encoder import Encoder, encoder_of
from .protocols.context import RunContext
from .protocols.dataset_catalog import open_dataset
from .protocols.evaluate import eval_requests, evaluate_features
from .protocols.extract import Extractor
from .protocols.settings import ExtractSettings
from .reports.progress import reporter_for

Extracted = dict[str, dict[str, Features]]
"""Layer → split → features."""


def extract(
    model: str | nn.Module | Encoder,
    data: Any,
    layers: str | Sequence[str] = "last",
    *,
    preprocessing: Preprocessing | None = None,
    workspace: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Extracted:
    """Return features of many layers, from the cache or from one pass over the images.

    Args:
        model: a spec such as ``imagenet-lite0``, any ``nn.Module``, or an ``Encoder``. A module is left
            in evaluation mode, on the device that was used.
        data: a spec such as ``mini/digits`` or ``folder:photos``; a map-style data set of
            ``(image, label)``; or several of them by split, ``{"train": …, "test": …}``. A list in the data
            set's attribute ``groups``, one name per image, marks images that are not independent.
        layers: ``last``, ``stages``, ``all`` or module-name patterns.
        preprocessing: that of a plain module; by default 224 pixels and ImageNet's mean and standard deviation.
        workspace: folder of the cache; the default is that of the command line.
        quiet: hide progress.
        settings: further fields of ``ExtractSettings``, such as ``size`` or ``precision``.

    Returns: Features by layer, then by split; a single data set is the split ``all``.

    ::

        features = extract("random:resnet18", "mini/digits")
        features["last"]["train"].x.shape  # (280, 512)
    """
    place = Workspace.at(workspace)
    reporter = reporter_for(quiet=quiet)
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    chosen = _settings(names, settings)
    store, named = FeatureStore(place.features), isinstance(model, str)
    extractor = Extractor(_encoder(model, preprocessing, place), chosen, store=store, named=named)
    extracted: Extracted = {layer: {} for layer in extractor.names}
    for split in _splits(data, place):
        entry = extractor.open(split).run(reporter)
        for layer in extractor.names:
            extracted[layer][split.name] = entry.features(layer)
    return extracted


def probe(
    features: Extracted | Mapping[str, Features] | Features,
    protocol: str = "linear",
    *,
    seed: int = 0,
    workspace: str | Path | None = None,
    force: bool = False,
    **settings: Any,
) -> Results:
    """Evaluate features by a protocol; every layer gives one result, which is recorded in the workspace.

    Args:
        features: return value of ``extract``; or one layer's features by split; or the features of one split,
            which is divided at random, stratified by class, into 60 % train, 20 % val and 20 % test.
        protocol: ``linear``, ``knn``, ``fewshot``, …
        seed: seed for random sampling.
        workspace: folder of the records; the default is that of the command line. A finished result for the same
            values and labels is reused.
        force: compute finished results again.
        settings: fields of the protocol's settings, such as ``k=(20,)``, and ``shots=(1, 5, 20)`` for a curve
            over the same classes.

    Returns: Records that render as a table, also in a notebook.
    """
    requests = eval_requests(protocol, **settings)
    context = RunContext(Workspace.at(workspace), seed)
    return Results(
        evaluate_features(splits, one, context, force=force) for splits in _by_layer(features, seed) for one in requests
    )


def _by_layer(features: Any, seed: int) -> list[dict[str, Features]]:
    if isinstance(features, Features):
        features = {"all": features}
    if not isinstance(features, Mapping) or not features:
        raise UsageError("There are no features: pass the return value of extract(), or Features by split.")
    layers = [features] if isinstance(next(iter(features.values())), Features) else list(features.values())
    return [_train_val_test(splits, seed) for splits in layers]


def _train_val_test(splits: Mapping[str, Features], seed: int) -> dict[str, Features]:
    """Return train, val and test; the single split ``all`` is divided, and its skipped rows are counted once.

    Raises: DataError: if there are too few groups, in total or per class, for each split to have rows.
    """
    if set(splits) != {"all"}:
        return dict(splits)
    whole = splits["all"]
    if whole.groups is not None and (count := len(set(whole.groups))) < 3:
        raise DataError(
            f"The {len(whole)} rows have {counted(count, 'group')} in total, but train, val and test need at least one "
            "each. Use smaller groups, or features by split."
        )
    train, val, test = stratified_split(
        stratify_labels(whole.labels),
        (0.6, 0.2, 0.2),
        rng=generator(seed, "notebook", "split"),
        groups=whole.groups,
    )
    if whole.groups is not None and not len(test):
        raise DataError(
            f"The {len(whole)} rows have so few groups per class that none is left for test. Use "
            "smaller groups, or features by split."
        )
    rest = replace(whole, skipped=())
    return {"train": whole.rows(train), "val": rest.rows(val), "test": rest.rows(test)}


def _settings(layers: tuple[str, ...], given: dict[str, Any]) -> ExtractSettings:
    """Return the extraction settings; the error for an unknown name suggests the closest one."""
    known = [field.name for field in fields(ExtractSettings)]
    for name in given:
        if name not in known:
            raise unknown_name("setting", name, known)
    return ExtractSettings(layers=layers, **given)


def _encoder(model: Any, preprocessing: Preprocessing | None, workspace: Workspace) -> Encoder:
    if isinstance(model, str):
        return load_encoder(model, runs=workspace.runs)
    if isinstance(model, nn.Module):
        name = type(model).__name__
        return encoder_of(
            model, preprocessing=preprocessing, name=name, architecture=f"{name}-{_structure(model)[:16]}"
        )
    if isinstance(model, Encoder):
        return model
    raise UsageError(f"A {type(model).__name__} is not a model: pass a spec, an nn.Module or an Encoder.")


def _structure(module: nn.Module) -> str:
    """Return a digest of a network's computation without its weights: its modules, their settings and code."""
    classes = {type(part) for part in module.modules() if not type(part).__module__.startswith("torch.")}
    code = {f"{kind.__module__}.{kind.__qualname__}": _source(kind) for kind in classes}
    return digest_of({"modules": repr(module), "code": code})


def _source(kind: type) -> str:
    """Return the source of a class, or the bytecode of its forward pass if the source is not available."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        code = getattr(kind.forward, "__code__", None)  # type: ignore[attr-defined]
        return "" if code is None else f"{code.co_code.hex()} {code.co_names} {code.co_consts!r}"


def _splits(data: Any, workspace: Workspace) -> list[Split]:
    if isinstance(data, str):
        return list(open_dataset(data, root=workspace.data).splits.values())
    if isinstance(data, Dataset):
        return list(data.splits.values())
    parts = data if isinstance(data, Mapping) else {"all": data}
    if any(isinstance(part, str) for part in parts.values()):
        raise UsageError("A spec includes all splits of a data set: pass it alone, not as one of several splits.")
    splits = [_split(part, name) for name, part in parts.items()]
    require_disjoint_groups({split.name: split.groups for split in splits}, data=splits[0].dataset)
    return _with_common_classes(splits)


def _split(part: Any, name: str) -> Split:
    if isinstance(part, Split):
        return replace(part, name=name)
    return from_torch_dataset(part, name=type(part).__name__, split=name)


def _with_common_classes(splits: list[Split]) -> list[Split]:
    """Return the splits with the same list of classes; of lists of numbers, the longest is used.

    Raises: UsageError: if the splits have different classes, so that equal labels have different meanings.
    """
    longest = max((split.classes for split in splits), key=len)
    for split in splits:
        numbered = all(name.isdigit() for name in split.classes)
        if split.classes != longest and not (numbered and split.classes == longest[: len(split.classes)]):
            raise UsageError(
                f"Split {split.name!r} has the classes {', '.join(split.classes)}; another has "
                f"{', '.join(longest)}. Give every split the same classes, in the same order."
            )
    return [replace(split, classes=longest) for split in splits]
