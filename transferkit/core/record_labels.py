"""Labels of records in tables and figures: short names, with additions where short names would collide."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .results import Result, recipe

PROTOCOLS = ("linear", "sgd", "knn", "fewshot", "finetune", "detection", "semantic")
"""Protocols in reading order; further protocols follow by name."""

_AXES = ("corruption", "severity", "score", "other", "other_weights", "other_layers", "layers")
_LEVEL_ORDER = {"low": 0, "mid": 1, "high": 2}


@dataclass(frozen=True)
class Label:
    """Names of one record's model, data set and recipe.

    Attributes:
        model: Spec of the model, with the settings that differ from another encoder of the same spec.
        data: Spec of the data set, with the digest of its content if that changed.
        recipe: Protocol with the settings that distinguish it from other recipes.
    """

    model: str
    data: str
    recipe: str


def labels_of(records: Sequence[Result]) -> Iterator[Label]:
    """Yield a label for each record, in order.

    Records of the same model, data set, recipe, layer and seed differ in details that their names do not
    contain: weights, pooling, preprocessing, or the images. These details are added to the name of that model or
    data set everywhere. Settings are compared over all models, and those that differ are added to all recipes of
    the protocol, so that equal recipes have equal names even if one model also has results with other settings. A
    detail whose value is None is left out.
    """
    differing: dict[tuple[str, str], set[str]] = {}
    for key, parts in ((_recipe_key, _settings), (_cell_key, _contents)):
        for own in _grouped(records, key):
            for name in _differing([parts(record) for record in own]):
                differing.setdefault(_owner(own[0], name), set()).add(name)
    for record in records:
        yield _label(record, differing)


def _grouped(records: Sequence[Result], key: Callable[[Result], Hashable]) -> Iterable[list[Result]]:
    groups: dict[Hashable, list[Result]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups.values()


def _differing(details: Sequence[Mapping[str, Any]]) -> set[str]:
    names = {name for detail in details for name in detail}
    return {name for name in names if len({str(detail.get(name)) for detail in details}) > 1}


def _owner(record: Result, detail: str) -> tuple[str, str]:
    """Return the part of a label that a detail belongs to, and the name of that part's owner."""
    if detail.startswith("settings."):
        return "recipe", record.protocol
    return ("data", record.data) if detail == "fingerprint" else ("model", record.model)


def _recipe_key(record: Result) -> Hashable:
    axes = tuple(str(record.settings.get(name)) for name in _AXES)
    return recipe(record.protocol, record.settings), record.data, record.seed, axes


def _cell_key(record: Result) -> Hashable:
    return _recipe_key(record), record.model, record.layer


def _settings(record: Result) -> dict[str, Any]:
    return dict(_flat("settings", record.settings))


def _contents(record: Result) -> dict[str, Any]:
    return {
        **dict(_flat("preprocessing", record.preprocessing)),
        "weights": record.weights[:8],
        "pooling": record.pooling,
        "fingerprint": record.fingerprint[:8],
    }


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}.{name}", value)
        else:
            yield f"{prefix}.{name}", value


def _label(record: Result, differing: Mapping[tuple[str, str], set[str]]) -> Label:
    details = _settings(record) | _contents(record)

    def with_details(part: str, name: str, owner: str) -> str:
        added = sorted(differing.get((part, owner), ()))
        values = [(detail.rpartition(".")[2], details.get(detail)) for detail in added]
        texts = [f"{detail} {_unwrapped(value)}" for detail, value in values if value is not None]
        return f"{name} ({', '.join(texts)})" if texts else name

    return Label(
        model=with_details("model", record.model, record.model),
        data=with_details("data", record.data, record.data),
        recipe=with_details("recipe", recipe(record.protocol, record.settings), record.protocol),
    )


def _unwrapped(value: Any) -> Any:
    """Return the only element of a list of one, and any other value unchanged."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def ordered_recipes(recipes: Iterable[str]) -> tuple[str, ...]:
    """Return unique recipes, sorted by protocol, then by shots and levels.

    >>> ordered_recipes(["knn", "semantic mid", "fewshot 20-shot lr", "fewshot 5-shot lr", "semantic low"])
    ('knn', 'fewshot 5-shot lr', 'fewshot 20-shot lr', 'semantic low', 'semantic mid')
    """
    return tuple(sorted(set(recipes), key=_sort_key))


def _sort_key(name: str) -> tuple[int, list[tuple[int, int, str]]]:
    protocol = name.partition(" ")[0]
    first = PROTOCOLS.index(protocol) if protocol in PROTOCOLS else len(PROTOCOLS)
    pieces = re.findall(r"\d+|[^\d\s]+", name)
    return first, [(0, int(p), "") if p.isdigit() else (1, _LEVEL_ORDER.get(p, 9), p) for p in pieces]
