from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tests.probes.features import features
from tests.reference import sgd as reference
from transferkit.core.errors import DataError, ShapeError, UsageError
from transferkit.core.features import concatenate
from transferkit.core.files import sorted_json
from transferkit.core.out_of_core import Blocks
from transferkit.core.seeding import generator
from transferkit.core.splitting import stratified_split
from transferkit.probes import PROBES, sgd
from transferkit.probes.builtin import LinearSettings
from transferkit.probes.probe import ProbeContext
from transferkit.probes.sgd import (
    GRID,
    SgdSetting,
    epoch_order,
    initial_weights,
    sgd_choice,
    sgd_fits,
)

ROWS = features(97, "train", classes=4, spread=1.0, dtype=np.float64)
X, LABELS = torch.from_numpy(3 * ROWS.x + 1), torch.from_numpy(ROWS.labels)
SMALL = [SgdSetting(lr, batch, decay) for lr in (0.1, 0.01) for batch in (32, 24) for decay in (0, 0.1)]


def fits(views=(X,), labels=LABELS, settings=SMALL, epochs=8, seed=3):
    return sgd_fits(views, labels, 4, settings, epochs=epochs, seed=seed)


def logits(found, i, x=X):
    return x @ found.weights[i] + found.biases[i]


@pytest.mark.parametrize("i", range(len(SMALL)))
def test_every_setting_agrees_with_a_plain_loop(i):
    """Batches of 32 or 24 leave one of the 97 rows over, which is dropped."""
    setting = SMALL[i]
    network = reference.train(
        [X],
        LABELS,
        4,
        lr=setting.lr,
        batch=setting.batch,
        weight_decay=setting.weight_decay,
        epochs=8,
        start=initial_weights(8, 4, seed=3),
        orders=[epoch_order(97, epoch, seed=3) for epoch in range(8)],
    )
    assert_close(logits(fits(), i), network(X).detach(), rtol=1e-9, atol=1e-9)


def test_a_shorter_last_batch_and_several_views_agree_with_a_plain_loop():
    views, setting = [X, X.flip(1), X + 1], SgdSetting(0.05, 40, 1e-3)
    network = reference.train(
        views,
        LABELS,
        4,
        lr=0.05,
        batch=40,
        weight_decay=1e-3,
        epochs=5,
        start=initial_weights(8, 4, seed=3),
        orders=[epoch_order(97, epoch, seed=3) for epoch in range(5)],
    )
    found = fits(views, settings=[setting], epochs=5)
    assert_close(logits(found, 0), network(X).detach(), rtol=1e-9, atol=1e-9)


def test_settings_trained_together_equal_settings_trained_alone():
    together = fits(settings=GRID, epochs=4)
    for i, setting in enumerate(GRID):
        alone = fits(settings=[setting], epochs=4)
        assert_close(together.weights[i], alone.weights[0], rtol=1e-10, atol=1e-12)
        assert_close(together.biases[i], alone.biases[0], rtol=1e-10, atol=1e-12)


def test_scale_and_shift_of_columns_do_not_matter():
    """They matter only through ε and, in the first epochs, through the initial running statistics."""
    moved = X * torch.logspace(0, 4, 8, dtype=torch.float64) - 7
    setting = [SgdSetting(0.01, 32, 1e-3)]
    found = logits(fits([moved], settings=setting, epochs=70), 0, moved)
    assert_close(found, logits(fits(settings=setting, epochs=70), 0), rtol=1e-4, atol=1e-4)


def test_many_epochs_reach_the_minimum_of_the_regularised_loss():
    """With one batch of all rows, the gradient of loss + decay/2 · ‖w‖² vanishes at the end."""
    setting = SgdSetting(1.0, 97, 0.5)
    found = fits(settings=[setting], epochs=400)
    deviation, mean = torch.std_mean(X, 0, correction=0)
    running = (deviation.square() * 97 / 96 + 1e-5).sqrt()
    w = found.weights[0] * running[:, None]
    b = found.biases[0] + mean @ found.weights[0]
    z = (X - mean) / (deviation.square() + 1e-5).sqrt()
    residual = (z @ w + b).softmax(1) - torch.nn.functional.one_hot(LABELS, 4)
    assert_close(z.T @ residual / 97 + 0.5 * w, torch.zeros_like(w), rtol=0, atol=1e-8)
    assert_close(residual.mean(0) + 0.5 * b, torch.zeros_like(b), rtol=0, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_lower_precision_gives_nearly_the_same_logits(dtype):
    found = fits([X.to(dtype)])
    assert found.weights.dtype == torch.float32
    assert_close(logits(found, 0, X.float()), logits(fits(), 0).float(), rtol=0.02, atol=0.02)


def test_the_fit_depends_on_the_seed_only():
    assert_close(fits().weights, fits().weights, rtol=0, atol=0)
    assert not torch.equal(fits().weights, fits(seed=4).weights)
    assert sorted(epoch_order(97, 0, seed=3).tolist()) == list(range(97))
    assert not torch.equal(epoch_order(97, 0, seed=3), epoch_order(97, 1, seed=3))


@pytest.mark.usefixtures("two_threads")
def test_the_number_of_threads_is_restored(monkeypatch):
    seen = []
    monkeypatch.setattr(sgd._JointTraining, "step", lambda *_, **__: seen.append(torch.get_num_threads()))
    fits()
    assert set(seen) == {1}
    seen.clear()
    monkeypatch.setattr(sgd, "SINGLE_THREAD_LIMIT", 0)
    fits()
    assert set(seen) == {2}
    assert torch.get_num_threads() == 2


def test_constant_columns_and_a_class_without_rows_stay_finite():
    x = torch.cat([X, torch.full((97, 1), 5.0, dtype=torch.float64)], 1)
    found = sgd_fits([x], LABELS, 6, SMALL[:1], epochs=60, seed=0)
    assert found.weights.isfinite().all()
    assert logits(found, 0, x).argmax(1).max() < 4


def test_initial_weights_are_distributed_as_in_a_linear_layer():
    start = initial_weights(400, 50, seed=0)
    assert start.shape == (401, 50)
    assert start.abs().max() <= 1 / 20
    assert start.std() == pytest.approx(1 / 20 / 3**0.5, rel=0.02)


def test_the_selected_setting_is_the_most_accurate_on_held_out_rows():
    """The setting that learns is selected whether it is first or second."""
    learns, idle = SgdSetting(0.1, 32, 0.0), SgdSetting(1e-12, 32, 0.0)
    for settings in ([learns, idle], [idle, learns]):
        assert sgd_choice([X], ROWS, settings, seed=0)[0] is learns
    same = SgdSetting(0.1, 32, 0.0)
    assert sgd_choice([X], ROWS, [learns, same], seed=0)[0] is learns, "the first of a tie"


def test_held_out_probabilities_are_those_of_the_setting_trained_on_other_rows():
    settings = [SgdSetting(1e-12, 32, 0.0), SgdSetting(0.1, 32, 0.0)]
    _, (probabilities, labels) = sgd_choice([X], ROWS, settings, seed=0)
    assert len(labels) == pytest.approx(0.3 * 97, abs=4)
    assert_close(probabilities.sum(1), np.ones(len(labels)))
    assert (probabilities.argmax(1) == labels).mean() > 0.7
    rng = generator(0, "sgd", "validation")
    kept, held = stratified_split(ROWS.labels, (0.7, 0.3), rng=rng)
    alone = fits([X[kept]], LABELS[kept], settings[1:], epochs=20, seed=0)
    assert_close(probabilities, logits(alone, 0, X[held]).softmax(1).numpy())
    assert (labels == ROWS.labels[held]).all()


def test_the_first_view_selects_if_there_are_few():
    noise = torch.zeros_like(X)
    settings = [SgdSetting(1e-12, 32, 0.0), SgdSetting(0.1, 32, 0.0)]
    assert sgd_choice([noise, X], ROWS, settings, seed=0)[0] is settings[0], "all rows are equal: a tie"
    assert sgd_choice([X, noise], ROWS, settings, seed=0)[0] is settings[1]


@pytest.mark.parametrize("blank", [0, 19, 20, 21, 49])
def test_the_view_that_selects_is_not_a_training_view(blank):
    """The study augments held-out rows too. If all of them are equal, the first setting is selected."""
    views = [torch.zeros_like(X) if number == blank else X for number in range(50)]
    settings = [SgdSetting(1e-12, 32, 0.0), SgdSetting(0.1, 32, 0.0)]
    chosen, _ = sgd_choice(views, ROWS, settings, seed=0, unaugmented=X)
    assert chosen is settings[0 if blank == 20 else 1]


def test_unaugmented_rows_give_the_probabilities_but_do_not_select():
    settings = [SgdSetting(0.1, 32, 0.0), SgdSetting(1e-12, 32, 0.0)]
    plain = torch.zeros_like(X)
    chosen, (probabilities, labels) = sgd_choice([X] * 21, ROWS, settings, seed=0, unaugmented=plain)
    assert chosen is settings[0]
    assert_close(probabilities, np.tile(probabilities[:1], (len(labels), 1)))


def test_the_final_training_uses_each_view_once():
    """Fifty views are one per epoch; the selection trains on twenty of them and evaluates on one more."""
    shown = []

    def read(number):
        shown.append(number)
        return X + number

    sgd_fits(sgd._LazyViews(read, 50), LABELS, 4, SMALL[:1], epochs=50, seed=0)
    assert shown == list(range(50))
    shown.clear()
    sgd_choice(sgd._LazyViews(read, 50), ROWS, SMALL[:1], seed=0)
    assert shown == [20, *range(20)]


def test_views_on_disk_give_the_same_score_as_views_in_memory():
    views = [(ROWS.x + number).astype(np.float32) for number in range(3)]
    read = []

    def left_on_disk(number):
        def pieces():
            read.append(number)
            yield from np.array_split(views[number], 2)

        return Blocks(views[number].shape, views[number].dtype, pieces)

    splits = {"train": replace(ROWS, augmented=tuple(views)), "test": features(60, "test", classes=4)}
    held = PROBES["linear"].score(ProbeContext(splits), LinearSettings(solver="sgd", views=3))
    splits["train"] = replace(ROWS, augmented=tuple(map(left_on_disk, range(3))))
    left = PROBES["linear"].score(ProbeContext(splits), LinearSettings(solver="sgd", views=3))
    assert (left.value, left.chosen) == (held.value, held.chosen)
    assert set(read) == {0, 1, 2}


def test_the_grid_is_that_of_the_study():
    assert len(GRID) == len(set(GRID)) == 12
    assert {s.lr for s in GRID} == {0.01, 0.001}
    assert {s.batch for s in GRID} == {128, 32}
    assert {s.weight_decay for s in GRID} == {0, 1e-4, 1e-5}


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"views": [X, X[:, :3]]}, ShapeError, "views of one shape, not \\[97, 8\\] and \\[97, 3\\]"),
        ({"views": [X[:1]], "labels": LABELS[:1]}, ShapeError, "at least two rows"),
        ({"labels": LABELS[:5]}, ShapeError, "and \\[5\\]"),
        ({"labels": LABELS + 1}, ShapeError, "Labels must be in 0 … 3"),
        ({"settings": []}, UsageError, "not 0 and 8"),
        ({"epochs": 0}, UsageError, "not 8 and 0"),
    ],
)
def test_invalid_inputs_are_refused(changes, error, words):
    with pytest.raises(error, match=words):
        fits(**changes)


def test_one_row_or_group_per_class_is_refused():
    with pytest.raises(DataError, match=r"The 4 training rows leave none .* only one row.* --solver lbfgs"):
        sgd_choice([X[:4]], ROWS.rows(np.arange(4)), seed=0)
    tied = replace(ROWS, groups=tuple(map(str, ROWS.labels.tolist())))
    with pytest.raises(DataError, match=r"The 97 training rows leave none .* only one group"):
        sgd_choice([X], tied, seed=0)


def test_the_held_out_rows_are_of_other_groups():
    groups = [f"{row // 4}" for row in range(97)]  # each group has a row of every class
    _, (probabilities, labels) = sgd_choice([X], replace(ROWS, groups=tuple(groups)), SMALL[:1], seed=0)
    kept, held = stratified_split(ROWS.labels, (0.7, 0.3), rng=generator(0, "sgd", "validation"), groups=groups)
    assert not {groups[i] for i in kept} & {groups[i] for i in held}
    assert (labels == ROWS.labels[held]).all()
    alone = fits([X[kept]], LABELS[kept], SMALL[:1], epochs=20, seed=0)
    assert_close(probabilities, logits(alone, 0, X[held]).softmax(1).numpy())


SPLITS = {name: features(n, name, classes=4, spread=1.0) for name, n in (("train", 90), ("val", 30))}
SPLITS["test"] = features(200, "test", classes=4, spread=1.0)


def by_hand(splits, rows):
    """Train the selected setting on ``rows`` by the reference, as the protocol does."""
    x, labels = torch.from_numpy(rows.x), torch.from_numpy(rows.labels)
    setting, _ = sgd_choice([x], rows, seed=5)
    network = reference.train(
        [x],
        labels,
        4,
        lr=setting.lr,
        batch=setting.batch,
        weight_decay=setting.weight_decay,
        epochs=50,
        start=initial_weights(8, 4, seed=5),
        orders=[epoch_order(len(rows), epoch, seed=5) for epoch in range(50)],
    )
    guesses = network(torch.from_numpy(splits["test"].x).double()).argmax(1).numpy()
    return setting, (guesses == splits["test"].labels).mean()


@pytest.mark.parametrize("names", [("train", "val"), ("train",)])
def test_the_linear_protocol_by_sgd(names):
    splits = {name: SPLITS[name] for name in (*names, "test")}
    found = PROBES["linear"].score(ProbeContext(splits, 5), LinearSettings(solver="sgd"))
    rows = concatenate([SPLITS[name] for name in names], split="+".join(names))
    setting, accuracy = by_hand(splits, rows)
    assert found.chosen == {"lr": setting.lr, "batch": setting.batch, "weight_decay": setting.weight_decay}
    assert found.value == pytest.approx(accuracy, abs=0.005)
    assert found.value > 0.7
    assert (found.selected_on, found.evaluated_on) == (f"30% of {'+'.join(names)}", "test")
    assert found.extra_metrics["calibration"]["fitted_on"] == found.selected_on
    sorted_json([found.extra_metrics, found.chosen])  # plain values


def test_the_test_split_selects_nothing():
    turned = {**SPLITS, "test": replace(SPLITS["test"], labels=(SPLITS["test"].labels + 1) % 4)}
    settings = LinearSettings(solver="sgd", normalize="l2")
    first, second = (PROBES["linear"].score(ProbeContext(splits), settings) for splits in (SPLITS, turned))
    assert first.chosen == second.chosen
    assert second.value < 0.3 < first.value


def test_training_uses_augmented_views_and_test_rows_are_not_augmented():
    """Views of noise teach nothing even if the rows show the class; views equal to the rows change nothing."""
    splits = {"train": ROWS, "test": features(60, "test", classes=4)}
    plain = PROBES["linear"].score(ProbeContext(splits), LinearSettings(solver="sgd"))
    same = {**splits, "train": replace(ROWS, augmented=(ROWS.x, ROWS.x))}
    again = PROBES["linear"].score(ProbeContext(same), LinearSettings(solver="sgd", views=2))
    assert (again.value, again.chosen) == (plain.value, plain.chosen)
    assert again.extra_metrics["augmented_views"] == 2
    noise = generator(0, "noise").normal(size=ROWS.x.shape).astype(np.float32)
    taught = {**splits, "train": replace(ROWS, augmented=(noise,))}
    lost = PROBES["linear"].score(ProbeContext(taught), LinearSettings(solver="sgd", views=1))
    assert lost.value < plain.value - 0.2
