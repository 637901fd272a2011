import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import pytest

from transferkit.core.json_dataclass import JsonDataclass, from_plain, to_plain


@dataclass(frozen=True)
class Layer(JsonDataclass):
    name: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Network(JsonDataclass):
    layers: tuple[Layer, ...]
    first: Layer | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    sizes: Annotated[tuple[int, float], "a rule"] | None = None


NETWORK = Network((Layer("a", (1, 2)), Layer("b")), Layer("a"), {"depth": [1]}, (3, 0.5))
PLAIN = {
    "layers": [{"name": "a", "shape": [1, 2]}, {"name": "b", "shape": []}],
    "first": {"name": "a", "shape": []},
    "options": {"depth": [1]},
    "sizes": [3, 0.5],
}


def test_fields_become_plain_values():
    assert NETWORK.to_json() == PLAIN
    assert to_plain({"all": (NETWORK, None)}) == {"all": [PLAIN, None]}


def test_plain_values_are_a_copy():
    NETWORK.to_json()["options"]["depth"].append(2)
    assert NETWORK.options == {"depth": [1]}


@pytest.mark.parametrize("network", [NETWORK, Network(())])
def test_objects_survive_as_json(network):
    assert Network.from_json(json.loads(json.dumps(network.to_json()))) == network


@pytest.mark.parametrize("value", [{"name": "a", "width": 1}, {"name": "a", "shape": 3}, {}, [], None])
def test_values_of_another_class_are_refused(value):
    with pytest.raises(TypeError):
        Layer.from_json(value)


def test_a_tuple_of_another_length_keeps_all_items():
    assert from_plain([1, 2.0, 3], tuple[int, float]) == (1, 2.0, 3)
    assert from_plain([1], tuple[int, float]) == (1,)
