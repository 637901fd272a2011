from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from tests.probes.features import features
from transferkit.core.devices import Compute
from transferkit.core.errors import DataError, NonFiniteError, UsageError
from transferkit.core.files import sorted_json
from transferkit.core.half_samples import NO_HALVES, OVER_IMAGES, interval_over_images
from transferkit.core.proportions import accuracy_interval
from transferkit.core.seeding import generator
from transferkit.core.statistics import mean_interval, wilson_interval
from transferkit.probes import PROBES, episode_predictions, fewshot
from transferkit.probes.builtin import FewshotSettings
from transferkit.probes.episode_predictions import count_correct
from transferkit.probes.episodes import Episodes
from transferkit.probes.halves import draw_halves
from transferkit.probes.probe import ProbeContext

SPLITS = {
    "train": features(120, "train", classes=6, d=12, spread=1.5),
    "test": features(90, "test", classes=6, d=12, spread=1.5),
}
FEW = FewshotSettings(ways=3, shots=2, queries=5, episodes=40)
METHODS = ("lr", "ridge", "proto", "nn")


def score(settings=FEW, splits=SPLITS, episodes=None):
    return PROBES["fewshot"].score(ProbeContext(splits, episodes=episodes), settings)


@pytest.mark.parametrize("method", METHODS)
def test_chunks_do_not_matter(method, monkeypatch):
    support, query = (generator(0, name).integers(50, size=(7, 3, 4)) for name in ("support", "query"))
    x = torch.nn.functional.normalize(torch.from_numpy(generator(0, "x").normal(size=(50, 9))).float())
    together = count_correct(x, support, query, method=method, penalty=1.0)
    monkeypatch.setattr(episode_predictions, "CHUNK", {"cpu": 1})
    assert_array_equal(count_correct(x, support, query, method=method, penalty=1.0), together)
    monkeypatch.setattr(episode_predictions, "MOST_SHARED", 1)
    assert_array_equal(count_correct(x, support, query, method=method, penalty=1.0), together)


@pytest.mark.gpu
@pytest.mark.parametrize("chunk", [1, 2**25])
@pytest.mark.parametrize("shared", [1, 2**26])
@pytest.mark.parametrize("d", [3, 40])  # fewer features than support rows, and more
@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_answers_as_the_processor_does(method, d, shared, chunk, monkeypatch):
    monkeypatch.setattr(episode_predictions, "MOST_SHARED", shared)
    rows = features(200, "rows", classes=5, d=d, spread=1.0)
    x = torch.nn.functional.normalize(torch.from_numpy(rows.x))
    of_class = np.arange(200).reshape(40, 5).T  # [classes, rows]
    drawn = np.stack([generator(0, e).permuted(of_class, axis=1) for e in range(30)])[..., :12]
    ask = partial(count_correct, x, drawn[..., :4], drawn[..., 4:], method=method, penalty=1.0)
    on_cpu = ask()
    monkeypatch.setattr(episode_predictions, "CHUNK", {"cuda": chunk})
    assert_array_equal(ask(device=torch.device("cuda")), on_cpu)


@pytest.mark.gpu
@pytest.mark.parametrize("scheme", ["episodes", "all-way"])
@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_scores_as_the_processor_does(scheme, method, monkeypatch):
    settings = replace(FEW, scheme=scheme, method=method)
    there = score(settings)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert there.outcomes == score(settings).outcomes


@pytest.mark.parametrize("scheme", ["episodes", "all-way"])
def test_the_device_is_the_one_that_is_at_hand(scheme, monkeypatch):
    asked = []
    for name in ("count_correct", "allway_predictions"):
        real = getattr(fewshot, name)
        monkeypatch.setattr(
            fewshot,
            name,
            lambda *of, device, real=real, **rest: asked.append(device) or real(*of, **rest),
        )
    monkeypatch.setattr(fewshot, "choose_compute", lambda: Compute(torch.device("cuda", 1), "fp32"))
    score(replace(FEW, scheme=scheme))
    assert set(asked) == {torch.device("cuda", 1)}


@pytest.mark.parametrize("d", [3, 40])  # fewer features than the 12 support rows, and more
@pytest.mark.parametrize("shared", [1, 2**26])
def test_products_are_those_of_the_rows(shared, d, monkeypatch):
    monkeypatch.setattr(episode_predictions, "MOST_SHARED", shared)
    s, q = (torch.from_numpy(generator(0, name).integers(9, 30, size=(5, 12))) for name in ("s", "q"))
    x = torch.from_numpy(generator(0, "x").normal(size=(30, d))).float()
    some = torch.tensor([3, 1])
    gram, cross = episode_predictions._products_of(x, s, q)(some)
    assert gram.dtype == (torch.float64 if d == 3 else torch.float32)
    for found, e in zip(range(2), some.tolist(), strict=True):
        assert_allclose(gram[found], x[s[e]] @ x[s[e]].T, atol=1e-5)
        assert_allclose(cross[found], x[q[e]] @ x[s[e]].T, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_protocol(method):
    found = score(replace(FEW, method=method))
    assert (found.metric, found.n, found.selected_on, found.evaluated_on) == ("accuracy", 40, "none", "all")
    assert 1 / 3 < found.interval.low < found.value < found.interval.high < 1
    assert found.interval.high - found.interval.low < 0.2
    assert found.extra_metrics["classes"] == 6
    assert found.extra_metrics["classes_left_out"] == 0
    assert len(found.extra_metrics["episodes"]) == 64
    sorted_json(found.extra_metrics)  # plain values


def test_correct_predictions_are_counted_by_episode():
    support = np.arange(6).reshape(3, 2, 1)
    correct = count_correct(torch.eye(6), support, support, method="proto", penalty=1.0)
    assert correct.tolist() == [2, 2, 2]


def test_the_interval_is_over_images_and_that_over_episodes_is_beside_it():
    found = score()
    pool = fewshot._pool(SPLITS, FEW)
    drawn = fewshot.episodes_for(None, pool.labels, pool.names, FEW.shape, seed=0)
    correct = count_correct(pool.x, *drawn.rows(pool.names), method="lr", penalty=1.0)
    assert found.value == pytest.approx((correct / 15).mean())
    assert (found.outcomes.unit, found.outcomes.predictions) == ("episodes", 15)
    assert found.outcomes.correct == tuple(correct.tolist())
    assert found.outcomes.of == drawn.digest
    over_episodes = mean_interval(correct / 15)
    assert found.extra_metrics["episode_interval"] == [over_episodes.low, over_episodes.high]
    halves = found.outcomes.half_accuracies
    assert found.interval == interval_over_images(correct / 15, halves, images=210)
    assert found.interval.method == OVER_IMAGES
    assert found.interval.high - found.interval.low > over_episodes.high - over_episodes.low


@pytest.mark.parametrize("method", METHODS)
def test_correct_predictions_of_a_half_are_those_of_its_episodes(method):
    found = score(replace(FEW, method=method))
    pool = fewshot._pool(SPLITS, FEW)
    halves = draw_halves(pool.labels, pool.names, FEW.shape, seed=0)
    b, side, batch = 7, 1, 0
    support, query = halves.support[b, side, batch], halves.query[b, side, batch]
    correct = count_correct(pool.x, support, query, method=method, penalty=1.0).sum()
    assert found.outcomes.halves[b][2 * side + batch] == correct
    assert found.outcomes.half_predictions == query.size
    assert found.extra_metrics["halves"] == {
        "halvings": 25,
        "episodes_per_half": 60,
        "shots": 2,
        "queries": query.shape[-1],
    }


def test_the_record_of_the_halves_is_small():
    outcomes = score(replace(FEW, episodes=600)).outcomes.to_json()
    assert len(sorted_json(outcomes["halves"])) < len(sorted_json(outcomes["correct"]))


def test_classes_that_are_left_out_are_in_no_half():
    settings = FewshotSettings(ways=3, shots=10, queries=6, episodes=30)
    pool = fewshot._pool(uneven([30, 30, 30, 30, 12]), settings)
    halves = fewshot._halves(pool, settings.shape, 0)
    for rows in (halves.support, halves.query):
        assert np.unique(pool.labels[rows]).tolist() == [0, 1, 2, 3]


def test_classes_too_small_to_be_halved_have_no_interval_over_images():
    found = score(FewshotSettings(ways=3, shots=1, queries=2, episodes=30), uneven([30, 30, 3]))
    assert (found.interval.limits, found.interval.method) == (None, f"none: {NO_HALVES}")
    assert found.outcomes.halves == ()
    assert "halves" not in found.extra_metrics
    low, high = found.extra_metrics["episode_interval"]
    assert low < found.value < high


GROUPED = {
    name: replace(part, groups=[f"{name} {i // 12} {i % 6}" for i in range(len(part))]) for name, part in SPLITS.items()
}  # of two images of one class


def test_support_and_queries_of_an_episode_share_no_group():
    found = score(splits=GROUPED)
    assert found.extra_metrics["episodes"] != score().extra_metrics["episodes"]
    assert found.interval.method == OVER_IMAGES
    pool = fewshot._pool(GROUPED, FEW)
    drawn = fewshot.episodes_for(None, pool.labels, pool.names, FEW.shape, seed=0, groups=pool.groups)
    assert found.extra_metrics["episodes"] == drawn.digest
    names = np.array(pool.groups)
    support, query = (names[rows].reshape(40, -1).tolist() for rows in drawn.rows(pool.names))
    assert not any(set(s) & set(q) for s, q in zip(support, query, strict=True))


def test_groups_of_one_row_each_are_no_groups():
    single = {name: replace(part, groups=[f"{name} {row}" for row in part.ids]) for name, part in SPLITS.items()}
    assert score(splits=single).outcomes == score().outcomes


def test_one_split_may_be_without_groups():
    some = {**SPLITS, "train": GROUPED["train"]}
    pool = fewshot._pool(some, FEW)
    assert pool.groups[120:] == pool.names[120:]
    assert score(splits=some).interval.method == OVER_IMAGES


def test_duplicated_images_leak_unless_they_are_a_group():
    """Each image occurs twice, so its copy in the support reveals the label."""
    single = features(60, "twins", classes=3, d=40, spread=8.0)
    twice = np.repeat(np.arange(60), 2)
    both = replace(single.rows(twice), ids=[f"{i}" for i in range(120)])
    settings = FewshotSettings(ways=3, shots=5, queries=10, episodes=200, method="nn")
    leaking = score(settings, {"train": both}).value
    grouped = score(settings, {"train": replace(both, groups=[f"{i}" for i in twice])}).value
    assert leaking > grouped + 0.05
    assert grouped == pytest.approx(score(settings, {"train": single}).value, abs=0.05)


def test_groups_that_leave_no_episode_are_refused():
    one_photo = {name: replace(part, groups=["photo"] * len(part)) for name, part in SPLITS.items()}
    with pytest.raises(DataError, match=r"0 of 6 have them.*, or give the classes more groups\."):
        score(splits=one_photo)


def test_kept_episodes_are_replayed_for_another_model(tmp_path):
    first = score(episodes=tmp_path)
    assert first.value == score().value  # the same in memory
    (path,) = tmp_path.iterdir()
    assert first.extra_metrics["episodes"] == Episodes.load(path).digest
    other = {name: replace(part, x=part.x[:, ::-1].copy(), model="other") for name, part in SPLITS.items()}
    assert score(splits=other, episodes=tmp_path).extra_metrics["episodes"] == first.extra_metrics["episodes"]
    assert list(tmp_path.iterdir()) == [path]


def test_order_of_rows_does_not_matter():
    order = generator(0, "order").permutation(120)
    shuffled = {**SPLITS, "train": SPLITS["train"].rows(order)}
    assert score(splits=shuffled).value == score().value
    assert score(splits=shuffled).extra_metrics == score().extra_metrics


def test_one_split_alone():
    found = score(replace(FEW, episode_split="test"))
    assert found.evaluated_on == "test"
    assert found.value == score(splits={"test": SPLITS["test"]}, settings=replace(FEW, episode_split="test")).value
    with pytest.raises(DataError, match="no split 'val' to draw episodes from, only train, test"):
        score(replace(FEW, episode_split="val"))


def test_ids_that_two_splits_share_are_two_rows():
    alike = {name: replace(part, ids=[str(i) for i in range(len(part))]) for name, part in SPLITS.items()}
    assert score(splits=alike).n == 40


@pytest.mark.parametrize("method", METHODS)
def test_float16_features_do_not_overflow(method):
    large = {name: replace(part, x=(part.x * 8000).astype(np.float16)) for name, part in SPLITS.items()}
    settings = replace(FEW, method=method)
    assert score(settings, large).value == pytest.approx(score(settings).value, abs=0.02)


def test_features_that_are_not_finite_are_refused():
    x = SPLITS["test"].x.copy()
    x[4, 2] = np.inf
    with pytest.raises(NonFiniteError, match="array test, layer last: 1 of 90 rows"):
        score(splits={**SPLITS, "test": replace(SPLITS["test"], x=x)})


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="0 of 6 have them"):
        score(replace(FEW, shots=50))


def test_a_split_for_all_classes_is_refused():
    with pytest.raises(UsageError, match="--episode-split test is invalid with --scheme all-way"):
        FewshotSettings(scheme="all-way", episode_split="test")


def test_defaults_are_the_studys_and_big_visions():
    assert FewshotSettings().to_json() == {
        "scheme": "episodes",
        "ways": 5,
        "shots": 1,
        "queries": 15,
        "episodes": 600,
        "repeats": 5,
        "method": "lr",
        "penalty": 1.0,
        "episode_split": "all",
        "min_rows_per_class": 0,
    }
    allway = FewshotSettings(scheme="all-way").to_json()
    assert (allway["method"], allway["penalty"], allway["repeats"]) == ("ridge", 1024, 5)
    assert FewshotSettings(scheme="all-way", method="lr").to_json()["penalty"] == 1
    assert FewshotSettings(scheme="all-way", penalty=2.0).to_json()["penalty"] == 2


def uneven(counts):
    """Rows of one split, so many a class."""
    rows = features(sum(counts), "train", classes=len(counts), d=6)
    labels = np.repeat(np.arange(len(counts)), counts)
    return {"train": replace(rows, labels=labels)}


@pytest.mark.parametrize("together", [True, False])
def test_a_curve_over_shots_asks_the_same_classes(together, monkeypatch):
    """Each support set is part of the next one; classes and queries stay the same."""
    splits, asked, real = uneven([30, 30, 30, 30, 12]), [], fewshot.count_correct
    monkeypatch.setattr(fewshot, "count_correct", lambda x, s, q, **rest: asked.append((s, q)) or real(x, s, q, **rest))
    monkeypatch.setattr(fewshot, "draw_halves", lambda *of, **rest: None)
    curve = [FewshotSettings(ways=3, shots=shots, queries=6, episodes=30) for shots in (5, 1, 20)]
    told = [replace(one, min_rows_per_class=26) for one in curve]
    for settings in sorted(PROBES["fewshot"].made_comparable(curve) if together else told, key=lambda one: one.shots):
        assert settings.to_json()["min_rows_per_class"] == 26
        found = score(settings, splits)
        assert (found.extra_metrics["classes"], found.extra_metrics["classes_left_out"]) == (4, 1)
    for (few, same), (many, queries) in pairwise(asked):
        assert_array_equal(queries, same)
        assert_array_equal(many[..., : few.shape[2]], few)


def test_what_is_asked_alone_or_told_its_class_rows_is_not_paired():
    one, five = FewshotSettings(), FewshotSettings(shots=5)
    for alone in (
        [five],
        [five, five],
        [replace(one, min_rows_per_class=0), replace(five, min_rows_per_class=0)],
        [replace(one, min_rows_per_class=40), replace(five, min_rows_per_class=40)],
        [replace(one, scheme="all-way"), replace(five, scheme="all-way")],
        [one, replace(five, ways=2)],
        [one, replace(five, method="ridge")],
    ):
        assert PROBES["fewshot"].made_comparable(alone) == alone
    mixed = PROBES["fewshot"].made_comparable([one, replace(five, ways=2), five])
    assert [item.min_rows_per_class for item in mixed] == [20, None, 20]


@pytest.mark.parametrize("shots", [1, 2])
def test_where_all_classes_have_the_rows_pairing_changes_the_record_alone(shots):
    alone = replace(FEW, shots=shots)
    (together,) = (one for one in PROBES["fewshot"].made_comparable([replace(FEW, shots=1), FEW]) if one.shots == shots)
    assert (alone.to_json()["min_rows_per_class"], together.to_json()["min_rows_per_class"]) == (0, 7)
    assert score(together).outcomes == score(alone).outcomes


def test_too_few_classes_for_the_most_shots_say_how_many_would_do():
    splits = uneven([30, 30, 14, 12, 12])
    curve = PROBES["fewshot"].made_comparable(
        [FewshotSettings(ways=3, shots=shots, queries=6, episodes=3) for shots in (1, 20)]
    )
    lower_too = ", or give a lower --min-rows-per-class."
    for settings, asked, lower in zip(curve, ("1 and up to 20 shots", "20 shots"), (lower_too, "."), strict=True):
        with pytest.raises(DataError) as caught:
            score(settings, splits)
        assert str(caught.value) == (
            f"3-way episodes of {asked} and 6 queries need 3 classes of at least 26 rows; 2 of 5 have them. "
            "Use fewer --ways, --shots or --queries: 8 shots would do" + lower
        )
    few = PROBES["fewshot"].made_comparable(
        [replace(one, shots=one.shots if one.shots == 1 else 8, min_rows_per_class=None) for one in curve]
    )
    assert [score(one, splits).extra_metrics["classes"] for one in few] == [3, 3]
    with pytest.raises(DataError, match=r"0 of 5 .* --queries: --ways 3 --shots 1 --queries 13 is possible"):
        score(replace(curve[0], queries=40), splits)
    score(replace(curve[0], queries=13, min_rows_per_class=None), splits)
    with pytest.raises(DataError, match=r"2 of 2 .* --queries: --ways 2 --shots 1 --queries 6 is possible"):
        score(replace(curve[0], min_rows_per_class=0), uneven([30, 30]))
    with pytest.raises(DataError, match=r"1 of 1 have them. Use fewer --ways, --shots or --queries\.$"):
        score(replace(curve[0], min_rows_per_class=0), uneven([30]))


def test_told_so_each_number_of_shots_takes_the_classes_it_can():
    splits = uneven([30, 30, 30, 30, 12])
    taking_part = [
        score(FewshotSettings(ways=3, shots=shots, queries=6, episodes=3), splits).extra_metrics["classes"]
        for shots in (1, 20)
    ]
    assert taking_part == [5, 4]


ALLWAY = FewshotSettings(scheme="all-way", shots=5)


@pytest.mark.parametrize("method", METHODS)
def test_allway(method):
    found = score(replace(ALLWAY, method=method))
    assert (found.metric, found.n, found.selected_on, found.evaluated_on) == ("top1", 90, "none", "test")
    assert 1 / 6 < found.interval.low < found.value < found.interval.high
    draws = found.extra_metrics["accuracies"]
    assert found.interval == accuracy_interval(found.outcomes.accuracies, draws=draws)
    assert found.outcomes.draws == tuple(round(90 * accuracy) for accuracy in draws)
    assert sum(found.outcomes.draws) == sum(found.outcomes.correct)
    assert found.value == pytest.approx(np.mean(found.extra_metrics["accuracies"]))
    assert (found.outcomes.unit, found.outcomes.predictions, len(found.outcomes)) == ("rows", 5, 90)
    assert sum(found.outcomes.correct) / 450 == pytest.approx(found.value)
    assert found.extra_metrics["classes"] == 6
    sorted_json(found.extra_metrics)  # plain values


def test_allway_of_one_draw_has_the_interval_of_test_rows():
    found = score(replace(ALLWAY, repeats=1))
    assert found.interval == wilson_interval(sum(found.outcomes.correct), 90)


def test_allway_counts_classes_of_too_few_rows():
    train = features(60, "train", classes=4, d=6)
    train = replace(train, labels=np.repeat([0, 1, 2], [40, 17, 3]))
    found = score(ALLWAY, {"train": train, "test": features(40, "test", classes=4, d=6)})
    about = ("classes", "classes_of_fewer_rows", "classes_only_in_test")
    assert [found.extra_metrics[name] for name in about] == [3, 1, 1]


def test_allway_refuses_shots_that_no_class_has():
    train = features(60, "train", classes=4, d=6)
    splits = {
        "train": replace(train, labels=np.repeat([0, 1, 2], [40, 17, 3])),
        "test": features(40, "test", classes=4, d=6),
    }
    words = r"with 500 shots needs a class of at least 500 rows; .* has 40\. Use fewer --shots: 40 shots would do\."
    with pytest.raises(DataError, match=words):
        score(replace(ALLWAY, shots=500), splits)
    assert score(replace(ALLWAY, shots=40), splits).n == 40


def test_allway_does_not_ask_for_the_order_of_rows():
    order = generator(0, "order").permutation(120)
    shuffled = {**SPLITS, "train": SPLITS["train"].rows(order)}
    assert score(ALLWAY, shuffled).extra_metrics == score(ALLWAY).extra_metrics


def test_allway_without_test_is_refused():
    with pytest.raises(DataError, match="needs rows of train and of test"):
        score(ALLWAY, {"train": SPLITS["train"]})
