import numpy as np
import pytest
from rich.console import Console

from tests.protocols.analyses.pictures import LAST, MODEL, place
from transferkit.analysis.transferability import SCORES
from transferkit.models.catalog import load_encoder
from transferkit.protocols.analyses.looking import looks
from transferkit.protocols.analyses.transferability import has_classifier, transferability
from transferkit.protocols.evaluate import Evaluator, question

MODELS = [MODEL, f"{MODEL}@1", "pixels"]


def test_scores_are_those_of_the_rows_a_user_may_look_at(discs, shared):
    found = transferability([MODEL], [discs], LAST, place=place(shared))
    assert {r.metric for r in found.records} == {n for n, s in SCORES.items() if s.needs == "features"}
    (look,) = looks([MODEL], [discs], LAST, place=place(shared))
    parts = look.splits(look.layers[0])
    x = np.concatenate([np.asarray(parts[name].x, np.float32) for name in ("train", "val")])
    labels = np.concatenate([parts[name].labels for name in ("train", "val")])
    for record in found.records:
        assert record.value == pytest.approx(SCORES[record.metric](x, labels, seed=0))
        assert (record.evaluated_on, record.n) == ("train+val", len(x))


def test_without_measured_accuracies_it_says_what_to_run(discs, tmp_path):
    found = transferability([MODEL], [discs], LAST, place=place(tmp_path))
    assert found.agreements == ()
    with (console := Console(width=200)).capture() as captured:
        console.print(found)
    assert "run transferkit probe for the same models" in captured.get()


def test_scores_are_held_against_the_accuracies_of_the_workspace(discs, tmp_path):
    here = place(tmp_path)
    measured = Evaluator(here, LAST).run(MODELS, [discs], [question("linear", penalties=3)])
    found = transferability(MODELS, [discs], LAST, place=here)
    assert len(found.accuracies) == len(measured)
    assert {a.score for a in found.agreements} == {r.metric for r in found.records}
    assert all(a.models == 3 and a.protocol == "linear" for a in found.agreements)
    assert all(a.tau is None or -1 <= a.tau <= 1 for a in found.agreements)


def test_which_models_have_a_classifier_of_their_own():
    assert has_classifier(load_encoder("imagenet-lite0"))
    assert not has_classifier(load_encoder("random:test_resnet"))
    assert not has_classifier(load_encoder("pixels"))


@pytest.mark.slow
def test_leep_and_nce_read_the_models_own_classes(discs, tmp_path):
    found = transferability(["imagenet-lite0"], [discs], LAST, place=place(tmp_path))
    values = {r.metric: r.value for r in found.records}
    assert values["leep"] <= 0
    assert values["nce"] <= 0
    assert values["leep"] != values["nce"]
