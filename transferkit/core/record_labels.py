"""What records are called in tables and figures: short names, longer ones where short ones would collide."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .results import Result, recipe

PROTOCOLS = ("linear", "sgd", "allway", "knn", "fewshot", "finetune", "detection", "semantic")
"""In the order people read in; others follow by name."""

_AXES = ("corruption", "severity", "score", "other", "other_weights", "other_layers", "layers")
_ORDER = {"low": 0, "mid": 1, "high": 2}


@dataclass(frozen=True)
class Label:
    """Names of one record's parts.

    Attributes:
        model: the spec, with what tells it from another encoder of the same spec.
        data: the data set's spec, with the digest of its content where that changed.
        recipe: the protocol with its settings, as many as are needed.
    """

    model: str
    data: str
    recipe: str


def labels_of(records: Sequence[Result]) -> Iterator[Label]:
    """A label for each record, in their order.

    Records of the same model, data set, recipe, layer and seed differ in something that their names do not
    say: weights, pooling, view, or the images. What it is, is added to the name of that model or data set
    everywhere. Settings are compared over all models, and those that differ join all recipes of the protocol.
    What was done alike is so called alike, whatever else was done with one of the models.
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
    """Which part of a label a detail belongs to, and whose it is."""
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
        **dict(_flat("view", record.view)),
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

    def told(part: str, name: str, owner: str) -> str:
        added = sorted(differing.get((part, owner), ()))
        words = [f"{detail.rpartition('.')[2]} {_plain(details.get(detail, '–'))}" for detail in added]
        return f"{name} ({', '.join(words)})" if words else name

    return Label(
        model=told("model", record.model, record.model),
        data=told("data", record.data, record.data),
        recipe=told("recipe", recipe(record.protocol, record.settings), record.protocol),
    )


def _plain(value: Any) -> Any:
    """A list of one as what is in it."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def ordered_recipes(recipes: Iterable[str]) -> tuple[str, ...]:
    """Each once: protocol by protocol, shots and levels by their size.

    >>> ordered_recipes(["knn", "semantic mid", "fewshot 20-shot lr", "fewshot 5-shot lr", "semantic low"])
    ('knn', 'fewshot 5-shot lr', 'fewshot 20-shot lr', 'semantic low', 'semantic mid')
    """
    return tuple(sorted(set(recipes), key=_place))


def _place(name: str) -> tuple[int, list[tuple[int, int, str]]]:
    protocol = name.partition(" ")[0]
    first = PROTOCOLS.index(protocol) if protocol in PROTOCOLS else len(PROTOCOLS)
    pieces = re.findall(r"\d+|[^\d\s]+", name)
    return first, [(0, int(p), "") if p.isdigit() else (1, _ORDER.get(p, 9), p) for p in pieces]
