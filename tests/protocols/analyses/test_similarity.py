import numpy as np
import pytest

from tests.protocols.analyses.pictures import LAST, MODEL, STAGES, place
from transferkit.analysis.cka import cka
from transferkit.protocols.analyses import similarity
from transferkit.protocols.analyses.looking import looks
from transferkit.protocols.analyses.similarity import likeness


def test_layers_of_two_models_are_compared(discs, shared):
    (found,) = likeness([MODEL, f"{MODEL}@1"], [discs], STAGES, place=place(shared))
    assert found.names == tuple(
        f"{spec} {layer}" for spec in (MODEL, f"{MODEL}@1") for layer in STAGES.layers
    )
    values = found.values
    np.testing.assert_allclose(np.diag(values), 1)
    np.testing.assert_allclose(values, values.T)
    assert found.matrix.n == 72  # every row of every split
    shown = str(found.__rich__().title)
    assert "CKA on" in shown
    assert "72 rows" in shown


def test_the_values_are_those_of_the_features(discs, shared):
    (found,) = likeness([MODEL], [discs], STAGES, place=place(shared))
    (look,) = looks([MODEL], [discs], STAGES, place=place(shared))
    layers = {layer: np.asarray(look.rows(layer).x, np.float64) for layer in STAGES.layers}
    exact = cka(layers, batch=100, rng=np.random.default_rng(5))
    np.testing.assert_allclose(found.values, np.array(exact.values, float), atol=1e-6)


def test_every_pair_of_models_leaves_a_record(discs, shared):
    (found,) = likeness([MODEL, f"{MODEL}@1"], [discs], STAGES, place=place(shared))
    assert [(r.model, r.settings["other"]) for r in found.records] == [
        (MODEL, MODEL),
        (MODEL, f"{MODEL}@1"),
        (f"{MODEL}@1", f"{MODEL}@1"),
    ]
    across = found.records[1]
    assert across.value == pytest.approx(found.values[:2, 2:].max(axis=1).mean())
    assert found.to_json()["records"][1] == across.to_json()


def test_of_a_large_set_an_even_selection_takes_part(discs, shared, monkeypatch):
    monkeypatch.setattr(similarity, "MOST_ROWS", 20)
    (found,) = likeness([MODEL], [discs], LAST, place=place(shared))
    assert found.matrix.n == 20
