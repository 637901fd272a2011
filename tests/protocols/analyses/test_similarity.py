from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.protocols.analyses.flat import flatten
from tests.protocols.analyses.pictures import LAST, MODEL, STAGES, context
from transferkit.analysis.cka import cka
from transferkit.core.progress import SILENT
from transferkit.protocols.analyses import similarity as module
from transferkit.protocols.analyses.similarity import similarity
from transferkit.protocols.layer_features import layer_features


def test_layers_of_two_models_are_compared(discs, shared):
    (found,) = similarity([MODEL, f"{MODEL}@1"], [discs], STAGES, context=context(shared))
    assert found.names == tuple(f"{spec} {layer}" for spec in (MODEL, f"{MODEL}@1") for layer in STAGES.layers)
    values = found.values
    np.testing.assert_allclose(np.diag(values), 1)
    np.testing.assert_allclose(values, values.T)
    assert found.matrix.n == 72  # every row of every split


def test_the_values_are_those_of_the_features(discs, shared):
    (found,) = similarity([MODEL], [discs], STAGES, context=context(shared))
    (source,) = layer_features([MODEL], [discs], STAGES, context=context(shared))
    layers = {layer: np.asarray(source.all_splits(layer).x, np.float64) for layer in STAGES.layers}
    exact = cka(layers, batch=100, rng=np.random.default_rng(5))
    np.testing.assert_allclose(found.values, np.array(exact.values, float), atol=1e-6)


def test_every_pair_of_models_leaves_a_record(discs, shared):
    (found,) = similarity([MODEL, f"{MODEL}@1"], [discs], STAGES, context=context(shared))
    assert [(r.model, r.settings["other"]) for r in found.records] == [
        (MODEL, MODEL),
        (MODEL, f"{MODEL}@1"),
        (f"{MODEL}@1", f"{MODEL}@1"),
    ]
    across = found.records[1]
    assert across.value == pytest.approx(found.values[:2, 2:].max(axis=1).mean())
    assert found.to_json()["records"][1] == across.to_json()


def test_of_a_large_set_an_even_selection_takes_part(discs, shared, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 20)
    (found,) = similarity([MODEL], [discs], LAST, context=context(shared))
    assert found.matrix.n == 20


class Told:
    """A reporter that remembers its notes."""

    def __init__(self):
        self.notes, self.task = [], SILENT.task

    def note(self, message):
        self.notes.append(message)


def test_constant_layers_are_named_and_no_number_is_made_up_for_them(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / "black" / split / name).mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (32, 32)).save(tmp_path / "black" / split / name / f"{i}.png")
    told = Told()
    here = replace(context(tmp_path), reporter=told)
    (found,) = similarity(["pixels"], [f"folder:{tmp_path / 'black'}"], LAST, context=here)
    (name,) = found.names
    assert found.to_json()["constant"] == [name]
    assert found.matrix.values == ((None,),)
    assert found.records == ()
    assert any("pixels and pixels have no CKA" in note and name in note for note in told.notes)


def test_records_name_the_constant_layers_beside_the_others(discs, tmp_path, monkeypatch):
    flatten(monkeypatch, but="layer4")
    both = [MODEL, f"{MODEL}@1"]
    (seen,) = similarity(both, [discs], STAGES, context=context(tmp_path))
    (across,) = seen.records  # neither model has two layers left to compare with each other
    assert across.value == across.extra_metrics["cka"]["layer4"]["layer4"]
    assert across.extra_metrics["cka"]["layer1"] == {"layer1": None, "layer4": None}
    assert across.extra_metrics["constant"] == [f"{model} layer1" for model in both]


def test_a_model_of_one_layer_is_like_itself(discs, shared):
    (found,) = similarity([MODEL], [discs], LAST, context=context(shared))
    assert [record.value for record in found.records] == pytest.approx([1])
