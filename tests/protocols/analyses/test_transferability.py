from dataclasses import replace

import numpy as np
import pytest

from tests.protocols.analyses.pictures import LAST, MODEL, STAGES, context
from tests.reports import records
from transferkit import __version__
from transferkit.analysis.transferability import SCORES
from transferkit.core.results import ResultStore
from transferkit.models.catalog import load_encoder
from transferkit.protocols.analyses.analyze import analyze
from transferkit.protocols.analyses.transferability import (
    agreements_of,
    has_classifier,
    scores_with_accuracies,
    with_accuracies,
)
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.finetuning.finetune import RunOptions, finetune
from transferkit.protocols.finetuning.settings import FinetuneSettings
from transferkit.protocols.layer_features import layer_features
from transferkit.training.settings import TrainerConfig

MODELS = [MODEL, f"{MODEL}@1", "pixels"]


def scores_of(models, data, layers, *, context):
    """The scores, with the accuracies of the workspace."""
    records = analyze("transferability", models, data, layers, context=context)
    return with_accuracies(records, ResultStore(context.workspace.results))


def test_scores_are_those_of_the_rows_a_user_may_look_at(discs, shared):
    found = scores_of([MODEL], [discs], LAST, context=context(shared))
    assert {r.metric for r in found.records} == {n for n, s in SCORES.items() if s.needs == "features"}
    (source,) = layer_features([MODEL], [discs], LAST, context=context(shared))
    parts = source.splits(source.layers[0])
    x = np.concatenate([np.asarray(parts[name].x, np.float32) for name in ("train", "val")])
    labels = np.concatenate([parts[name].labels for name in ("train", "val")])
    for record in found.records:
        assert record.value == pytest.approx(SCORES[record.metric](x, labels, seed=0))
        assert (record.evaluated_on, record.n) == ("train+val", len(x))


def test_without_measured_accuracies_there_is_no_agreement(discs, tmp_path):
    found = scores_of([MODEL], [discs], LAST, context=context(tmp_path))
    assert found.agreements == ()


def test_scores_are_held_against_the_accuracies_of_the_workspace(discs, tmp_path):
    here = context(tmp_path)
    measured = Evaluator(here, LAST).run(MODELS, [discs], [eval_request("linear", penalties=3)])
    found = scores_of(MODELS, [discs], LAST, context=here)
    reached = {(r.model, r.layer): r.value for r in measured}
    assert len(found.pairs) == len(found.records)
    assert all(pair.reached == reached[pair.model, pair.layer] for pair in found.pairs)
    assert {a.score for a in found.agreements} == {r.metric for r in found.records}
    assert all(a.models == 3 and a.protocol == "linear" for a in found.agreements)
    assert all(a.tau is None or -1 <= a.tau <= 1 for a in found.agreements)


def test_a_fine_tuned_network_meets_the_scores_of_its_last_layer(discs, tmp_path):
    here = context(tmp_path)
    quick = FinetuneSettings(lr=(0.02,), batch=(16,), epochs=1, size=32, precision="fp32", head="zero")
    alone, run_options = TrainerConfig(device="cpu", workers=0), RunOptions(yes=True)
    (tuned,) = finetune([MODEL], [discs], quick, context=here, trainer_config=alone, run_options=run_options).results
    found = scores_of([MODEL], [discs], STAGES, context=here)
    assert {pair.score for pair in found.pairs} == {r.metric for r in found.records}
    assert {(p.protocol, p.layer, p.reached) for p in found.pairs} == {("finetune", "layer4", tuned.value)}


NETWORKS = {"a": 0.5, "b": 0.7, "c": 0.6}


def known(model, value, **changes):
    return records.record(model, "d", value, version=__version__, **changes)


def scored(value=lambda model, layer: NETWORKS[model]):
    """Scores of two layers of three networks, in the order of depth."""
    return [
        known(m, value(m, layer), layer=layer, protocol="transferability", metric="logme")
        for m in NETWORKS
        for layer in ("early", "late")
    ]


def test_rank_agreement_counts_models_and_not_layers():
    layers = [known(m, v, layer=layer) for m, v in NETWORKS.items() for layer in ("early", "late")]
    (three,) = agreements_of(scores_with_accuracies(scored(), layers))
    assert (three.models, three.tau) == (3, pytest.approx(1))
    (one,) = agreements_of(scores_with_accuracies(scored()[:2], layers))
    assert (one.models, one.tau) == (1, None)


def test_a_model_is_ranked_at_its_deepest_layer_that_was_scored_and_measured():
    measured = [known(m, v, layer="late") for m, v in NETWORKS.items()]
    measured += [known(m, 1 - v, layer="early") for m, v in NETWORKS.items()]
    (found,) = agreements_of(scores_with_accuracies(scored(), measured))
    assert found.tau == pytest.approx(1)
    (found,) = agreements_of(scores_with_accuracies(scored(), measured[3:]))
    assert found.tau == pytest.approx(-1)


def test_fine_tuned_networks_are_ranked_by_the_scores_of_their_deepest_layers():
    tuned = [known(m, v, layer="all", protocol="finetune") for m, v in NETWORKS.items()]
    by_layer = scored(lambda model, layer: NETWORKS[model] if layer == "late" else -NETWORKS[model])
    (found,) = agreements_of(scores_with_accuracies(by_layer, tuned))
    assert (found.protocol, found.models, found.tau) == ("finetune", 3, pytest.approx(1))


def test_accuracies_are_means_over_seeds_under_the_recipe_of_most_models():
    plain, fewer = {"penalties": 45}, {"penalties": 3}
    measured = [known("a", v, layer="late", settings=plain, seed=seed) for seed, v in enumerate((0.4, 0.6))]
    measured += [known("b", 0.7, layer="late", settings=plain)]
    measured += [known("a", v, layer="late", settings=fewer, seed=seed) for seed, v in enumerate((0.8, 0.9, 1))]
    for order in (measured, measured[::-1]):
        found = {pair.model: pair.reached for pair in scores_with_accuracies(scored(), order)}
        assert found == {"a": pytest.approx(0.5), "b": 0.7}


def test_a_seed_among_the_settings_makes_no_other_recipe():
    tuned = [
        known("a", v, layer="all", protocol="finetune", settings={"epochs": 8, "seed": seed}, seed=seed)
        for seed, v in enumerate((0.4, 0.6))
    ]
    (pair,) = scores_with_accuracies(scored(), tuned)
    assert pair.reached == pytest.approx(0.5)


@pytest.mark.parametrize(
    "other",
    [{"weights": "x"}, {"fingerprint": "x"}, {"pooling": "max"}, {"preprocessing": {"crop": 64}}, {"version": "old"}],
)
def test_accuracies_of_other_features_are_no_match(other):
    measured = known("a", 0.5, layer="late")
    assert len(list(scores_with_accuracies(scored(), [measured]))) == 1
    assert list(scores_with_accuracies(scored(), [replace(measured, **other)])) == []


def test_which_models_have_a_classifier_of_their_own():
    assert has_classifier(load_encoder("imagenet-lite0"))
    assert not has_classifier(load_encoder("random:test_resnet"))
    assert not has_classifier(load_encoder("pixels"))


@pytest.mark.slow
def test_leep_and_nce_read_the_models_own_classes(discs, tmp_path):
    found = scores_of(["imagenet-lite0"], [discs], LAST, context=context(tmp_path))
    values = {r.metric: r.value for r in found.records}
    assert values["leep"] <= 0
    assert values["nce"] <= 0
    assert values["leep"] != values["nce"]
