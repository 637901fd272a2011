import math
from importlib.metadata import EntryPoint

import pytest

from transferkit.core.errors import PluginError, UnknownNameError
from transferkit.core.registry import Registry, unknown_name


@pytest.fixture
def fruit() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    registry.register("apple")(1)
    registry.register("pear")(2)
    return registry


def test_it_is_a_mapping_in_the_order_of_registration(fruit):
    assert dict(fruit) == {"apple": 1, "pear": 2}
    assert len(fruit) == 2
    assert "pear" in fruit
    assert "peach" not in fruit
    assert fruit.get("peach") is None


def test_it_cannot_be_written_to(fruit):
    with pytest.raises(TypeError):
        fruit["plum"] = 3


def test_register_hands_the_decorated_object_back():
    registry = Registry("probe")

    @registry.register("knn")
    def knn():
        return 5

    assert knn() == 5
    assert registry["knn"] is knn


def test_a_duplicate_name_is_rejected_and_the_first_entry_is_kept(fruit):
    with pytest.raises(ValueError, match=r"^There is already a fruit named 'apple': choose another name\.$"):
        fruit.register("apple")(3)
    assert fruit["apple"] == 1


def test_a_typo_gives_the_nearest_name(fruit):
    with pytest.raises(UnknownNameError) as caught:
        fruit["aple"]
    assert str(caught.value) == "No fruit named 'aple'. Did you mean 'apple'?"


def test_a_name_without_a_similar_one_lists_all_names(fruit):
    with pytest.raises(UnknownNameError) as caught:
        fruit["zzz"]
    assert str(caught.value) == "No fruit named 'zzz'. Choose from: apple, pear."


def test_unknown_name_accepts_any_list_of_names():
    assert str(unknown_name("layer", "layr3", ["layer3"])) == "No layer named 'layr3'. Did you mean 'layer3'?"


def test_a_plugin_that_fails_leaves_no_other_one_half_registered(monkeypatch):
    loaded = {"good": 1}

    def load(plugin):
        if plugin.name not in loaded:
            raise PluginError(f"The entry {plugin.name!r} failed.")
        return loaded[plugin.name]

    plugins = [EntryPoint(name, "module:entry", "fruits") for name in ("good", "bad")]
    monkeypatch.setattr("transferkit.core.registry.installed_plugins", lambda group: plugins)
    monkeypatch.setattr("transferkit.core.registry.load_installed", load)
    registry = Registry("fruit", group="fruits")
    for _ in range(2):
        with pytest.raises(PluginError, match="The entry 'bad' failed"):
            list(registry)
    loaded["bad"] = 2
    assert dict(registry) == {"good": 1, "bad": 2}


def test_builtin_entries_are_named_without_importing_them():
    registry = Registry("constant", builtin={"pi": "math:pi", "nothing": "no.such.module:x"})
    assert list(registry) == ["pi", "nothing"]
    assert "nothing" in registry
    with pytest.raises(ValueError, match="There is already a constant named 'pi'"):
        registry.register("pi")(3)
    assert registry["pi"] == math.pi
    with pytest.raises(ModuleNotFoundError):
        registry["nothing"]
