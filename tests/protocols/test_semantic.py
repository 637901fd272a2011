import os
import re
import signal
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge

from tests.protocols.analyses.pictures import LAST, MODEL, STAGES, context, draw_discs
from tests.protocols.pretraining.runs import Notes
from transferkit.cache.store import FeatureStore
from transferkit.core.errors import DataError, UnknownNameError
from transferkit.core.preprocessing import Preprocessing
from transferkit.data.variants import PLAIN
from transferkit.models.catalog import load_encoder
from transferkit.probes import semantic
from transferkit.probes.builtin import SemanticSettings
from transferkit.probes.semantic import target_scores
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.extract import Extractor
from transferkit.protocols.layer_features import LayerFeatures
from transferkit.protocols.semantic import ImageSemanticProtocol, ScoreRequest, _normalised
from transferkit.protocols.semantic_tasks import TASKS
from transferkit.protocols.targets import measured, read_targets, targets_key, targets_of
from transferkit.semantics import TARGETS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("semantic")


@pytest.fixture(scope="module")
def discs(root):
    return f"folder:{draw_discs(root / 'discs')}"


def semantics(root, data, settings=STAGES, model=MODEL):
    here = context(root)
    extractor = Extractor(load_encoder(model), settings, store=FeatureStore(here.workspace.features))
    return ImageSemanticProtocol(LayerFeatures(extractor, here.open(data), here))


def test_targets_are_measured_once_a_view_and_not_once_an_encoder(root, discs, monkeypatch):
    asked = semantics(root, discs)
    split, preprocessing = asked.dataset.split("train"), asked.extractor.encoder.preprocessing
    entry = measured(split, preprocessing, targets_of("low"), store=asked.extractor.store)
    monkeypatch.setattr("transferkit.protocols.targets.measure_batch", None)  # never again
    other = replace(preprocessing, mean=(0.5, 0.5, 0.5))
    again = measured(split, other, targets_of("low"), store=asked.extractor.store)
    assert again.folder == entry.folder
    assert again.verify() == []
    smaller = asked.extractor.store.entry(replace(entry.key, transform=preprocessing.at(16).to_json()))
    assert not smaller.begun


def test_targets_of_images_with_a_border_know_its_colour(discs, root):
    split = semantics(root, discs).dataset.split("train")
    grey, black = (Preprocessing(fit="border", mean=(value,) * 3) for value in (0.5, 0.0))
    keys = [targets_key(split, view, ["luminance"]) for view in (grey, black, replace(grey, std=(1, 1, 1)))]
    assert keys[0].digest == keys[2].digest != keys[1].digest


def test_every_row_has_its_targets(root, discs):
    asked = semantics(root, discs)
    entry = measured(
        asked.dataset.split("test"),
        asked.extractor.encoder.preprocessing,
        targets_of("low"),
        store=asked.extractor.store,
    )
    features = asked.extractor.open(asked.dataset.split("test")).run().features("layer1")
    found = read_targets(entry, targets_of("low"), features.ids)
    assert {name: value.shape[1] for name, value in found.items()} == {
        name: TARGETS[name].dimension for name in targets_of("low")
    }
    large = np.array(["large" in name for name in features.ids])
    luminance = found["luminance"][:, 0]
    assert luminance[large].mean() > luminance[~large].mean()


def test_the_score_is_that_of_the_features_and_stands_beside_its_floors(root, discs):
    asked = semantics(root, discs, model=f"{MODEL}@1")
    settings = SemanticSettings(level="low", target_penalties=4)
    score = asked.score_layer("layer1", settings)
    store = asked.extractor.store
    splits = {}
    for name, split in asked.dataset.splits.items():
        entry = measured(split, asked.extractor.encoder.preprocessing, targets_of("low"), store=store)
        features = asked.extractor.open(split).run().features("layer1")
        splits[name] = replace(features, targets=read_targets(entry, targets_of("low"), features.ids))
    plain, constant = target_scores(splits, settings.grid, seed=0)
    assert list(constant) == score.extra_metrics["constant"]
    for name, target in score.extra_metrics["targets"].items():
        assert target["value"] == plain[name].value
        assert set(target["baselines"]) == {"pixels"}  # an untrained network is the other baseline itself
        assert -1 <= target["normalised"] <= 1
    assert score.extra_metrics["normalised"] == pytest.approx(
        np.mean([target["normalised"] for target in score.extra_metrics["targets"].values()])
    )


def test_a_gray_set_has_no_colour_targets_and_says_so(tmp_path):
    data = f"folder:{draw_discs(tmp_path / 'gray', gray=True)}"
    score = semantics(tmp_path, data).score_layer("layer1", SemanticSettings(level="low", target_penalties=3))
    assert {"saturation", "hue", "colourfulness"} <= set(score.extra_metrics["constant"])
    assert "luminance" in score.extra_metrics["targets"]


def test_the_class_stands_on_the_same_axis(root, discs):
    score = semantics(root, discs).score_layer("layer4", SemanticSettings(level="high", target_penalties=4))
    assert set(score.extra_metrics["targets"]) == {"class"}
    assert score.n == 24


@pytest.mark.parametrize("name", TASKS)
def test_tasks_stack_the_views_they_take(name, root, discs):
    asked = semantics(root, discs, LAST)
    layer = asked.extractor.names[0]
    stack = asked._stack_variants(ScoreRequest(MODEL, layer, (), name, (1.0,)), "test")
    dim = asked.extractor.layers[0].dim
    pairs = {"rotation": 4, "patch": 8, "corruption": 12}[name]
    assert stack.x.shape == (24 * pairs, 2 * dim if name == "patch" else dim)
    assert len(set(stack.ids)) == len(stack)
    for value in stack.targets.values():
        assert len(np.unique(np.asarray(value), axis=0)) == {"rotation": 4, "patch": 8, "corruption": 4}[name] - (
            value.ndim == 2
        )


def test_rotation_is_one_of_the_mid_level_targets_unless_it_is_left_out(root, discs):
    asked = semantics(root, discs)
    with_it = asked.score_layer("layer1", SemanticSettings(level="mid", target_penalties=3))
    without = asked.score_layer("layer1", SemanticSettings(level="mid", target_penalties=3, mid_tasks=("none",)))
    assert set(with_it.extra_metrics["targets"]) - set(without.extra_metrics["targets"]) == {"rotation"}
    with pytest.raises(UnknownNameError, match="Did you mean 'rotation'"):
        asked.score_layer("layer1", SemanticSettings(level="mid", mid_tasks=("rotate",)))


def with_factors(asked, **factors):
    """The same questions about images of which something was recorded, row by row."""
    splits = {
        name: replace(split, factors={factor: value(split.ids) for factor, value in factors.items()})
        for name, split in asked.dataset.splits.items()
    }
    images = replace(asked.images, dataset=replace(asked.dataset, splits=splits))
    return replace(asked, images=images)


def large(ids):
    return np.array(["large" in name for name in ids])


def test_recorded_factors_are_targets_of_their_own_level(root, discs):
    asked = with_factors(semantics(root, discs), size=lambda ids: large(ids) * 0.5, large=large)
    score = asked.score_layer("layer4", SemanticSettings(level="factors", target_penalties=4))
    assert list(score.extra_metrics["targets"]) == ["factor:size", "factor:large"]
    low = asked.score_layer("layer4", SemanticSettings(level="low", target_penalties=4))
    assert not any(name.startswith("factor:") for name in low.extra_metrics["targets"])
    ids = [name for split in ("train", "val") for name in asked.dataset.split(split).ids]
    reference = Ridge(alpha=score.extra_metrics["targets"]["factor:size"]["penalty"])
    x = [asked._extract(MODEL, PLAIN, split).features("layer4").x for split in ("train", "val", "test")]
    x, test = np.concatenate(x[:2]).astype(float), x[2].astype(float)
    mean, deviation = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1)
    reference.fit((x - mean) / deviation, large(ids) * 0.5)
    truth = large(asked.dataset.split("test").ids) * 0.5
    answers = reference.predict((test - mean) / deviation).clip(0, large(ids).max() * 0.5)
    missed = np.square(answers - truth).sum()
    expected = 1 - missed / np.square(truth - truth.mean()).sum()
    assert_allclose(score.extra_metrics["targets"]["factor:size"]["value"], expected, atol=1e-5)


def test_rows_keep_their_factors_where_others_could_not_be_read(root, discs):
    asked = with_factors(semantics(root, discs), place=lambda ids: np.arange(len(ids)) / 2)
    found = asked._recorded_factors(asked.dataset.split("test").ids[1:4], "test")
    assert_allclose(found["factor:place"], [[0.5], [1], [1.5]])


def test_a_set_without_factors_says_so_only_where_they_are_asked_for(root, discs):
    asked = replace(semantics(root, discs), levels=("low", "factors"))
    with pytest.raises(DataError, match="records no factors: leave out the level factors"):
        asked.score_layer("layer4", SemanticSettings(level="factors"))
    assert asked.score_layer("layer4", SemanticSettings(level="low", target_penalties=3)).value > 0


def test_the_protocol_leaves_a_record_a_layer_and_level(root, discs):
    asked = [eval_request("semantic", level=level, target_penalties=3, mid_tasks=()) for level in ("low", "high")]
    results = Evaluator(context(root), STAGES).run([MODEL], [discs], asked)
    assert [(r.layer, r.settings["level"]) for r in results] == [
        ("layer1", "low"),
        ("layer1", "high"),
        ("layer4", "low"),
        ("layer4", "high"),
    ]
    assert all(r.ci_low <= r.value <= r.ci_high for r in results)
    assert Evaluator(context(root), STAGES).run([MODEL], [discs], asked).to_json() == results.to_json()


LOW, MID = {"level": "low"}, {"level": "mid", "mid_tasks": ("rotation",)}


@pytest.mark.parametrize(
    ("asked", "registry", "name", "changed"),
    [(LOW, TARGETS, "hue", True), (LOW, TARGETS, "lbp", False), (MID, TASKS, "rotation", True)],
)
def test_a_target_with_another_definition_is_scored_again(root, discs, monkeypatch, asked, registry, name, changed):
    asked = [eval_request("semantic", target_penalties=3, **asked)]
    (before, _), (same, _) = (Evaluator(context(root), STAGES).run([MODEL], [discs], asked) for _ in range(2))
    assert same.cell == before.cell
    assert name in before.settings["targets"] or not changed
    monkeypatch.setitem(registry._entries, name, replace(registry[name], version=99))
    found = []
    monkeypatch.setattr(ImageSemanticProtocol, "score", lambda self, layer, settings: found.append(layer) or 1 / 0)
    if changed:
        with pytest.raises(ZeroDivisionError):
            Evaluator(context(root), STAGES).run([MODEL], [discs], asked)
    else:
        assert next(iter(Evaluator(context(root), STAGES).run([MODEL], [discs], asked))).cell == before.cell
    assert bool(found) == changed


def test_a_target_that_is_added_makes_another_record(root, discs, monkeypatch):
    asked = [eval_request("semantic", level="low", target_penalties=3)]
    before, _ = Evaluator(context(root), STAGES).run([MODEL], [discs], asked)
    added = replace(TARGETS["luminance"], name="twice", compute=lambda s: 2 * TARGETS["luminance"].compute(s))
    monkeypatch.setitem(TARGETS._entries, "twice", added)
    after, _ = Evaluator(context(root), STAGES).run([MODEL], [discs], asked)
    assert after.cell != before.cell
    assert set(after.extra_metrics["targets"]) - set(before.extra_metrics["targets"]) == {"twice"}


def test_recorded_factors_of_other_values_are_another_definition(root, discs):
    settings = SemanticSettings(level="factors")
    one, two, three = (
        with_factors(semantics(root, discs), **{name: values}).target_versions(settings)
        for name, values in (("size", large), ("size", lambda ids: ~large(ids)), ("other", large))
    )
    assert one == with_factors(semantics(root, discs), size=large).target_versions(settings)
    assert list(one) == list(two) == ["factor:size"]
    assert one != two
    assert list(three) == ["factor:other"]


@pytest.mark.parametrize(
    ("value", "baselines", "normalised"),
    [
        (0.8, {"a": 0.6}, 0.5),
        (0.3, {"a": 0.6}, -0.5),
        (-2, {"a": 0.5, "b": 0.1}, -1),
        (0.4, {"a": -1}, 0.4),
        (1, {"a": 1}, 0),
    ],
)
def test_minus_one_is_nothing_zero_the_baseline_and_one_all(value, baselines, normalised):
    assert _normalised(value, baselines)["normalised"] == pytest.approx(normalised)
    assert _normalised(value, {}) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="forked processes are asked for on Linux alone")
@pytest.mark.usefixtures("two_threads")
def test_several_layers_are_scored_by_several_processes_to_the_same_scores(root, discs, monkeypatch):
    asked = [
        (layer, SemanticSettings(level=level, target_penalties=3))
        for layer in ("layer1", "layer4")
        for level in ("low", "mid")
    ]
    plain, ahead = (replace(semantics(root, discs), levels=("low", "mid")) for _ in range(2))
    one_by_one = [plain.score_layer(*one) for one in asked]
    ahead.prepare(asked)
    assert ahead.score_cache.keys() == plain.score_cache.keys()
    monkeypatch.setattr("transferkit.protocols.semantic.target_scores", None)  # nothing is left to score
    for before, after in zip(one_by_one, [ahead.score_layer(*one) for one in asked], strict=True):
        assert after.value == pytest.approx(before.value, abs=1e-9)
        assert after.extra_metrics["normalised"] == pytest.approx(before.extra_metrics["normalised"], abs=1e-9)


@pytest.mark.usefixtures("two_threads")
def test_scores_that_cannot_be_precomputed_are_computed_on_request(root, discs):
    asked = replace(semantics(root, discs), levels=("low", "factors"))
    low = SemanticSettings(level="low", target_penalties=3)
    asked.prepare([("layer1", SemanticSettings(level="factors")), ("layer4", low), ("layer1", low)])
    assert len(asked.score_cache) == 3  # both layers and the pixels
    assert asked.score_layer("layer4", low).value > 0
    with pytest.raises(DataError, match="records no factors"):
        asked.score_layer("layer1", SemanticSettings(level="factors"))


@pytest.mark.skipif(sys.platform != "linux", reason="forked processes are asked for on Linux alone")
@pytest.mark.usefixtures("two_threads")
def test_where_a_scoring_process_is_killed_this_one_goes_on(root, discs, monkeypatch):
    asked = semantics(root, discs)
    low = SemanticSettings(level="low", target_penalties=3)
    here = os.getpid()

    def killed_elsewhere(*args, **kwargs):
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return target_scores(*args, **kwargs)

    monkeypatch.setattr("transferkit.protocols.semantic.target_scores", killed_elsewhere)
    asked.context = replace(asked.context, reporter=Notes())
    asked.prepare([("layer1", low), ("layer4", low)])
    (note,) = asked.context.reporter.notes
    assert re.fullmatch(
        r"A scoring process ended early \(DataLoader worker .*\): scoring one layer after another\.", note
    )
    assert not asked.score_cache
    assert asked.score_layer("layer4", low).value > 0


@pytest.mark.skipif(sys.platform != "linux", reason="forked processes are used only on Linux")
@pytest.mark.usefixtures("two_threads")
def test_an_error_in_a_scoring_process_is_named(root, discs, monkeypatch):
    asked = semantics(root, discs)
    asked.context = replace(asked.context, reporter=Notes())

    def failing(*args, **kwargs):
        raise RuntimeError("The solver is broken.")

    monkeypatch.setattr("transferkit.protocols.semantic.target_scores", failing)
    low = SemanticSettings(level="low", target_penalties=3)
    asked.prepare([("layer1", low), ("layer4", low)])
    (note,) = asked.context.reporter.notes
    assert "(RuntimeError: The solver is broken): scoring one layer" in note
    with pytest.raises(RuntimeError, match=r"^The solver is broken\.$"):
        asked.score_layer("layer4", low)


@pytest.mark.usefixtures("two_threads")
def test_the_record_includes_the_seconds_of_precomputed_scores(root, discs, monkeypatch):
    asked = semantics(root, discs)
    low = SemanticSettings(level="low", target_penalties=3)

    def slowly(*args, **kwargs):
        time.sleep(0.5)
        return target_scores(*args, **kwargs)

    monkeypatch.setattr("transferkit.protocols.semantic.target_scores", slowly)
    asked.prepare([("layer1", low), ("layer4", low)])
    first, again = (sum(asked.score_layer("layer1", low).seconds.values()) for _ in range(2))
    assert first >= 1  # the layer, and the pixels
    assert again < 0.5
    assert 0.5 <= sum(asked.score_layer("layer4", low).seconds.values()) < 1


def test_the_pixels_baseline_of_another_view_is_another(root, discs):
    """Targets are measured on the preprocessed image; features of ``pixels`` do not identify the preprocessing."""
    low = SemanticSettings(level="low", target_penalties=3, mid_tasks=())
    one, other = semantics(root, discs), semantics(root, discs)
    cropped = replace(other.extractor.encoder, preprocessing=replace(other.extractor.encoder.preprocessing, crop=16))
    other.extractor.encoder, other.score_cache = cropped, one.score_cache
    before = one.score_layer("layer1", low).extra_metrics["targets"]
    keys = set(one.score_cache)
    other._key(next(iter(other._source_requests(("pixels", "pixels"), low))))
    assert other._key(next(iter(other._source_requests(("pixels", "pixels"), low)))) not in keys
    assert before


@pytest.mark.parametrize("name", TASKS)
def test_the_views_of_an_image_are_one_group(name, root, discs):
    asked = semantics(root, discs, LAST)
    ask = ScoreRequest(MODEL, asked.extractor.names[0], (), name, (1.0,))
    test = asked.dataset.split("test")
    stack, rows = asked._stack_variants(ask, "test"), TASKS[name].rows_per_image
    assert stack.groups == test.ids * rows
    assert all(one.startswith(f"{group}@") for one, group in zip(stack.ids, stack.groups, strict=True))
    score = next(iter(asked._compute_scores(ask)[0].values()))
    assert score.n == len(score.groups) == len(test) == 24
    pairs = replace(test, groups=tuple(f"pair {row // 2}" for row in range(24)))
    grouped = semantics(root, discs, LAST)
    grouped.dataset = replace(grouped.dataset, splits={**grouped.dataset.splits, "test": pairs})
    assert grouped._stack_variants(ask, "test").groups == pairs.groups * rows
    assert len(next(iter(grouped._compute_scores(ask)[0].values())).terms) == 12
    assert grouped._key(ask) != asked._key(ask)


def test_without_val_no_view_of_an_image_selects_for_another(root, discs, monkeypatch):
    asked = semantics(root, discs, LAST)
    asked.dataset = replace(asked.dataset, splits={name: asked.dataset.split(name) for name in ("train", "test")})
    chosen = []
    original = semantic.selection
    monkeypatch.setattr(
        semantic,
        "selection",
        lambda *args, **options: chosen.append(original(*args, **options)) or chosen[-1],
    )
    asked._compute_scores(ScoreRequest(MODEL, asked.extractor.names[0], (), "rotation", (1.0, 10.0)))
    ((train, held, _),) = chosen
    assert not set(train.groups) & set(held.groups)
    assert len(held) == 4 * len(set(held.groups)) > 0
