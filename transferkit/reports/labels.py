"""What records are called in tables and figures: short names, longer ones where short ones would collide."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.results import Result, recipe

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

    Two records of the same model, data set, recipe, layer and seed differ in something that their names do
    not say: settings, weights, pooling, view, or the images. What it is, is added to the name.
    """
    keys = [_key(record) for record in records]
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    differing: dict[tuple[str, str], set[str]] = {}
    for own in groups.values():
        if len(own) > 1:
            record = records[own[0]]
            details = [_details(records[i]) for i in own]
            names = {name for detail in details for name in detail}
            found = {name for name in names if len({str(detail.get(name)) for detail in details}) > 1}
            differing.setdefault((record.protocol, record.model), set()).update(found)
    for record in records:
        yield _label(record, differing.get((record.protocol, record.model), set()))


def _key(record: Result) -> tuple[object, ...]:
    axes = tuple(str(record.settings.get(name)) for name in _AXES)
    name = recipe(record.protocol, record.settings)
    return name, record.model, record.data, record.layer, record.seed, axes


def _details(record: Result) -> dict[str, Any]:
    parts = {"settings": record.settings, "view": record.view}
    flat = {name: value for part, values in parts.items() for name, value in _flat(part, values)}
    return {
        **flat,
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


def _label(record: Result, differing: set[str]) -> Label:
    details = _details(record)
    added: dict[str, list[str]] = {"settings": [], "fingerprint": [], "": []}
    for name in sorted(differing):
        part = name.partition(".")[0]
        place = part if part in added else ""
        added[place].append(f"{name.rpartition('.')[2]} {details.get(name, '–')}")
    return Label(
        model=_with(record.model, added[""]),
        data=_with(record.data, added["fingerprint"]),
        recipe=_with(recipe(record.protocol, record.settings), added["settings"]),
    )


def _with(name: str, added: Sequence[str]) -> str:
    return f"{name} ({', '.join(added)})" if added else name


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
