import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from tests.reference import image_bootstrap
from transferkit.core.errors import DataError, ShapeError
from transferkit.core.features import Features
from transferkit.core.seeding import generator
from transferkit.probes.builtin import SemanticSettings
from transferkit.probes.classification import selection
from transferkit.probes.probe import PROBES, ProbeContext
from transferkit.probes.semantic import DRAWS, summary, target_scores

GRID = SemanticSettings().grid
SIZES = {"train": 120, "val": 60, "test": 80}


def splits(targets_of, *, d=12, **changes):
    """Gaussian features by split, with the targets that ``targets_of`` makes of them."""
    found = {}
    for name, n in SIZES.items():
        rng = generator(0, "semantic", name)
        x = rng.normal(size=(n, d)) * np.geomspace(0.1, 10, d)
        found[name] = Features(
            x=x.astype(np.float32),
            labels=np.arange(n) % 3,
            ids=[f"{name}{i}" for i in range(n)],
            classes=("a", "b", "c"),
            split=name,
            targets=targets_of(x, rng),
            **changes,
        )
    return found


MIX = generator(0, "mix").normal(size=(12, 3))


def noisy_sum(x, rng):
    return {"sum": x @ MIX + 5 * rng.normal(size=(len(x), 3))}


def test_the_score_is_the_r2_of_scikit_learns_ridge():
    parts = splits(noisy_sum)
    found = target_scores(parts, GRID, seed=0)[0]["sum"]
    best = max(GRID, key=lambda penalty: (of_scikit_learn(parts, ("train",), "val", penalty), penalty))
    assert found.penalty == pytest.approx(best)
    expected = of_scikit_learn(parts, ("train", "val"), "test", best)
    assert found.value == pytest.approx(expected, abs=1e-6)
    assert 0.1 < found.value < 0.999
    assert found.low < found.value < found.high


def of_scikit_learn(parts, fitted, asked, penalty):
    x = np.concatenate([parts[name].x for name in fitted]).astype(float)
    y = np.concatenate([parts[name].targets["sum"] for name in fitted])
    mean, deviation = x.mean(0), x.std(0)
    model = Ridge(alpha=penalty).fit((x - mean) / deviation, y)
    truth = parts[asked].targets["sum"]
    predicted = model.predict((parts[asked].x - mean) / deviation).clip(y.min(0), y.max(0))
    return r2_score(truth, predicted, multioutput="variance_weighted")


def test_what_is_linear_in_the_features_is_known_and_noise_is_not():
    def targets(x, rng):
        return {"linear": x @ MIX, "noise": rng.normal(size=(len(x), 2))}

    found, constant = target_scores(splits(targets), GRID, seed=0)
    assert constant == ()
    assert found["linear"].value > 0.998  # the farthest test rows lie beyond what was fitted
    assert abs(found["noise"].value) < 0.1


def test_a_row_unlike_any_that_was_fitted_does_not_outweigh_all_others():
    parts = splits(noisy_sum)
    plain = target_scores(parts, GRID, seed=0)[0]["sum"]
    x = parts["test"].x.copy()
    x[0] *= 1e4
    found = target_scores({**parts, "test": replace(parts["test"], x=x)}, GRID, seed=0)[0]["sum"]
    assert found.value == pytest.approx(plain.value, abs=0.1)


def test_a_target_alone_scores_as_among_others():
    def both(x, rng):
        return {**noisy_sum(x, rng), "other": x[:, :1] ** 2}

    among = target_scores(splits(both), GRID, seed=0)[0]["sum"]
    alone = target_scores(splits(noisy_sum), GRID, seed=0)[0]["sum"]
    assert among.to_json() == pytest.approx(alone.to_json(), rel=1e-9)


def test_scale_and_shift_of_features_and_targets_do_not_matter():
    plain = target_scores(splits(noisy_sum), GRID, seed=0)[0]["sum"].value
    parts = {
        name: replace(part, x=part.x * 100 + 3, targets={"sum": part.targets["sum"] * 7 - 2})
        for name, part in splits(noisy_sum).items()
    }
    assert target_scores(parts, GRID, seed=0)[0]["sum"].value == pytest.approx(plain, abs=1e-4)


def test_an_angle_is_known_from_its_cosine_and_sine_and_not_from_its_number():
    def targets(x, rng):
        angle = rng.uniform(0, 2 * np.pi, len(x))
        return {"angle": np.stack([np.cos(angle), np.sin(angle)], 1)}

    parts = splits(targets)
    both = {name: replace(p, x=p.targets["angle"].astype(np.float32)) for name, p in parts.items()}
    number = {
        name: replace(p, x=np.arctan2(*p.targets["angle"].T[::-1])[:, None].astype(np.float32))
        for name, p in parts.items()
    }
    assert target_scores(both, GRID, seed=0)[0]["angle"].value > 0.999
    assert target_scores(number, GRID, seed=0)[0]["angle"].value < 0.6


def test_categories_are_scored_by_the_errors_that_are_not_made():
    def targets(x, rng):
        return {"sign": (x[:, -1] > 0).astype(int), "chance": rng.integers(4, size=len(x))}

    found = target_scores(splits(targets), GRID, seed=0)[0]
    assert found["sign"].value > 0.9
    assert abs(found["chance"].value) < 0.25
    missed, commonest = found["chance"].terms.mean(0)
    assert found["chance"].value == pytest.approx(1 - missed / commonest)


def test_a_rotation_is_at_chance_for_features_that_turning_leaves_alone():
    """Means over the image do not change in a quarter turn; the pixels of an image lit from above do."""

    def turned(invariant):
        parts = {}
        for name, n in SIZES.items():
            rng = generator(0, "turned", name)
            lit = rng.normal(size=(n, 6, 6)) + np.linspace(2, -2, 6)[:, None]
            views = np.stack([np.rot90(lit, k, axes=(1, 2)) for k in range(4)], 1).reshape(4 * n, -1)
            x = np.sort(views, axis=1) if invariant else views
            labels = np.tile(np.arange(4), n)
            ids = [f"{name}{i}" for i in range(4 * n)]
            parts[name] = Features(
                x.astype(np.float32), labels, ids, ("0", "90", "180", "270"), split=name,
                targets={"rotation": labels},
            )  # fmt: skip
        return target_scores(parts, GRID, seed=0)[0]["rotation"]

    invariant = turned(True)
    assert abs(invariant.value) < 0.12
    assert invariant.low < 0.05
    assert turned(False).value > 0.9


def test_more_features_than_rows_and_constant_columns():
    def targets(x, rng):
        return {"first": x[:, -1:]}

    parts = splits(targets, d=400)
    for name, part in parts.items():
        parts[name] = replace(part, x=np.pad(part.x, ((0, 0), (0, 2)), constant_values=1))
    assert target_scores(parts, GRID, seed=0)[0]["first"].value > 0.1


def test_a_column_that_varies_by_rounding_alone_does_not_change_the_score():
    parts = splits(noisy_sum)
    expected = target_scores(parts, GRID, seed=0)[0]["sum"].value
    for name, part in parts.items():
        column = np.full((len(part), 1), 12.742, np.float32)
        column[::2] = np.nextafter(column[::2], np.float32(np.inf))
        column[::3] *= np.float32(1.01) if name == "test" else np.float32(1)
        parts[name] = replace(part, x=np.concatenate([part.x, column], 1))
    assert target_scores(parts, GRID, seed=0)[0]["sum"].value == pytest.approx(expected, abs=1e-3)


def test_a_constant_target_is_named_and_left_out():
    def targets(x, rng):
        return {"gray": np.zeros((len(x), 2)), "one": np.zeros(len(x), int), **noisy_sum(x, rng)}

    score = PROBES["semantic"].score(ProbeContext(splits(targets)), SemanticSettings())
    assert score.extra_metrics["constant"] == ["gray", "one"]
    assert set(score.extra_metrics["targets"]) == {"sum"}
    assert score.value == score.extra_metrics["targets"]["sum"]["value"]
    assert score.interval.low < score.value < score.interval.high


def test_the_mean_over_targets():
    def targets(x, rng):
        return {"linear": x @ MIX, "noise": rng.normal(size=(len(x), 2))}

    score = PROBES["semantic"].score(ProbeContext(splits(targets)), SemanticSettings())
    each = [one["value"] for one in score.extra_metrics["targets"].values()]
    assert score.value == pytest.approx(np.mean(np.maximum(each, 0)))
    again = PROBES["semantic"].score(ProbeContext(splits(targets)), SemanticSettings())
    assert (again.value, again.interval) == (score.value, score.interval)


def test_the_interval_covers_what_it_should():
    """About 95 % of the intervals of many data sets with the same true score contain it."""
    truth, held = 0.5, 0
    for trial in range(60):
        rng = generator(trial, "coverage")
        parts = {}
        for name, n in {"train": 400, "val": 100, "test": 150}.items():
            x = rng.normal(size=(n, 2))
            y = x[:, :1] + rng.normal(size=(n, 1))  # half of the variance is noise
            parts[name] = Features(
                x.astype(np.float32), np.zeros(n, int), [str(i) for i in range(n)], ("a",), split=name,
                targets={"y": y},
            )  # fmt: skip
        found = target_scores(parts, GRID, seed=0)[0]["y"]
        held += found.low <= truth <= found.high
    assert 50 <= held <= 60


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(DataError, match="no targets to predict"):
        target_scores(splits(lambda x, rng: {}), GRID, seed=0)
    parts = splits(lambda x, rng: {"gray": np.zeros((len(x), 1))})
    with pytest.raises(DataError, match="All targets are constant over these rows: gray"):
        PROBES["semantic"].score(ProbeContext(parts), SemanticSettings())
    with pytest.raises(ShapeError, match="'short' needs 120 rows, not 3"):
        splits(lambda x, rng: {"short": np.zeros((3, 1))})


def viewed(images, views, seed, *, split="test"):
    """Rows that show each image several times: the target and most of the features belong to the image."""
    rng = generator(seed, "viewed", split)
    image = np.tile(np.arange(images), views)
    latent = rng.normal(size=(images, 2))
    y = (latent[:, :1] + rng.normal(size=(images, 1)))[image]  # half of the variance is noise
    x = latent[image] + 0.1 * rng.normal(size=(len(image), 2))
    return Features(
        x=x.astype(np.float32),
        labels=np.zeros(len(image), int),
        ids=[f"{split}/{i}@{row}" for row, i in enumerate(image)],
        classes=("a",),
        split=split,
        targets={"y": y},
        groups=tuple(f"{split}/{i}" for i in image),
    )


def viewed_splits(seed, *, grouped=True):
    parts = {split: viewed(n, 4, seed, split=split) for split, n in
             {"train": 150, "val": 50, "test": 60}.items()}  # fmt: skip
    return parts if grouped else {name: replace(part, groups=None) for name, part in parts.items()}


def test_intervals_are_those_of_a_loop_that_draws_images():
    parts = viewed_splits(0)
    test = replace(parts["test"], targets={"y": parts["test"].targets["y"], "noise": noise_of(parts["test"])})
    parts = {
        "train": replace(parts["train"], targets={**parts["train"].targets, "noise": noise_of(parts["train"])}),
        "val": replace(parts["val"], targets={**parts["val"].targets, "noise": noise_of(parts["val"])}),
        "test": test,
    }
    scores, _ = target_scores(parts, GRID, seed=3)
    rows, _ = target_scores({name: replace(p, groups=None) for name, p in parts.items()}, GRID, seed=3)
    targets = {name: (test.groups, *one.terms.T.tolist()) for name, one in rows.items()}
    names = list(dict.fromkeys(test.groups))

    def draws(*purpose):
        drawn = generator(3, "semantic", *purpose).integers(len(names), size=(DRAWS, len(names)))
        return [[names[i] for i in draw] for draw in drawn.tolist()]

    each, _ = image_bootstrap.intervals(targets, draws("bootstrap"))
    for name, score in scores.items():
        assert score.value == pytest.approx(rows[name].value, abs=1e-12)
        assert [score.low, score.high] == pytest.approx(each[name].tolist(), abs=1e-9)
    _, mean = image_bootstrap.intervals(targets, draws("summary", len(names)))
    found = summary(scores, (), seed=3, seconds=0.0).interval
    assert [found.low, found.high] == pytest.approx(mean.tolist(), abs=1e-9)


def noise_of(part):
    """A target that belongs to the row, and is not known."""
    return generator(1, "noise", part.split).normal(size=(len(part), 1))


def test_targets_of_some_of_the_images_are_resampled_together_with_those_of_all():
    """One of the averaged targets has rows for only half of the images; the same loop computes the reference."""
    whole = viewed_splits(1)
    half = {name: part.rows(np.arange(len(part)) % 2 == 0) for name, part in whole.items()}
    scores = {
        "all": target_scores(whole, GRID, seed=0)[0]["y"],
        "half": target_scores(half, GRID, seed=0)[0]["y"],
    }
    targets = {name: (score.groups, *score.terms.T.tolist()) for name, score in scores.items()}
    names = list(scores["all"].groups)
    assert set(scores["half"].groups) < set(names)
    drawn = generator(0, "semantic", "summary", len(names)).integers(len(names), size=(DRAWS, len(names)))
    _, mean = image_bootstrap.intervals(targets, [[names[i] for i in draw] for draw in drawn.tolist()])
    found = summary(scores, (), seed=0, seconds=0.0).interval
    assert [found.low, found.high] == pytest.approx(mean.tolist(), abs=1e-9)


def test_showing_every_image_again_makes_no_interval_narrower():
    parts = splits(noisy_sum)
    once = target_scores(parts, GRID, seed=0)[0]["sum"]
    again = parts["test"].rows(np.tile(np.arange(len(parts["test"])), 4))
    again = replace(again, groups=tuple(again.ids))
    found = target_scores({**parts, "test": again}, GRID, seed=0)[0]["sum"]
    assert (found.value, found.low, found.high) == pytest.approx((once.value, once.low, once.high), abs=1e-9)
    assert found.n == 4 * once.n
    alone = summary({"sum": found}, (), seed=0, seconds=0.0).interval
    plain = summary({"sum": once}, (), seed=0, seconds=0.0).interval
    assert (alone.low, alone.high) == pytest.approx((plain.low, plain.high), abs=1e-9)


def test_the_interval_over_images_covers_what_the_one_over_views_does_not():
    truth = 0.5 / 1.01  # of the target's variance, of which the features know this much
    held, widths = {}, {}
    for grouped in (True, False):
        found = [target_scores(viewed_splits(seed, grouped=grouped), GRID, seed=0)[0]["y"] for seed in range(60)]
        held[grouped] = np.mean([one.low <= truth <= one.high for one in found])
        widths[grouped] = np.mean([one.high - one.low for one in found])
    assert held[True] >= 0.85
    assert held[False] <= 0.75
    assert widths[True] / widths[False] == pytest.approx(2, abs=0.15)  # the square root of four views


@pytest.mark.parametrize(("groups", "known"), [(1, False), (6, False), (7, True)])
def test_few_groups_have_no_interval(groups, known):
    parts = viewed_splits(0)
    few = replace(parts["test"], groups=tuple(str(row % groups) for row in range(len(parts["test"]))))
    found = target_scores({**parts, "test": few}, GRID, seed=0)[0]
    mean = summary(found, (), seed=0, seconds=0.0)
    assert (mean.interval.limits is not None) == known
    assert (found["y"].low is not None) == (found["y"].high is not None) == known
    json.dumps(mean.extra_metrics, allow_nan=False)


def test_without_val_the_views_of_an_image_are_held_out_together():
    parts = viewed_splits(0)
    train, held, name = selection({"train": parts["train"], "test": parts["test"]}, seed=0)
    assert name == "20% of train"
    assert not set(train.groups) & set(held.groups)
    assert len(held) == 0.2 * len(parts["train"])
