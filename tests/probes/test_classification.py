import numpy as np
import pytest

from tests.probes.features import features
from transferkit.core.errors import DataError, NonFiniteError
from transferkit.core.statistics import wilson_interval
from transferkit.probes.classification import classification_score, selection, train_and_test


def test_val_joins_train_to_fit():
    splits = {"train": features(6, "train"), "val": features(4, "val"), "test": features(3, "test")}
    fitting, test = train_and_test(splits)
    assert fitting.ids == [*splits["train"].ids, *splits["val"].ids]
    assert fitting.split == "train+val"
    assert test is splits["test"]


def test_official_val_selects():
    splits = {"train": features(6, "train"), "val": features(4, "val")}
    train, held, name = selection(splits, seed=0)
    assert (train, held, name) == (splits["train"], splits["val"], "val")


def test_without_val_a_fifth_of_train_is_held_out():
    train = features(100, "train", classes=4)
    kept, held, name = selection({"train": train}, seed=3)
    assert name == "20% of train"
    assert (len(kept), len(held)) == (80, 20)
    assert sorted([*kept.ids, *held.ids]) == sorted(train.ids)
    assert np.bincount(held.labels).tolist() == [5, 5, 5, 5]
    assert selection({"train": train}, seed=3)[1].ids == held.ids
    assert selection({"train": train}, seed=4)[1].ids != held.ids


def test_rows_that_cannot_be_divided_are_refused():
    with pytest.raises(DataError, match=r"The 3 rows of train leave none to choose .* a single candidate"):
        selection({"train": features(3, "train", classes=3)}, seed=0)


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"train": features(6, "train")}, r"only: train \(6 rows\)"),
        ({"train": features(6, "train"), "test": features(0, "test")}, r"test \(0 rows\)"),
    ],
)
def test_missing_rows_are_refused(splits, words):
    with pytest.raises(DataError, match=words):
        train_and_test(splits)


def test_features_that_are_not_finite_are_refused():
    splits = {"train": features(6, "train"), "test": features(3, "test")}
    splits["test"].x[1, 0] = np.nan
    with pytest.raises(
        NonFiniteError, match="array test, layer last: 1 of 3 rows are not finite, first 'test/1'"
    ):
        train_and_test(splits)


def scored(n_classes):
    probabilities = np.full((8, n_classes), 0.4 / (n_classes - 1))
    probabilities[:, 0] = 0.6
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 2])
    return classification_score(
        probabilities, labels, selected_on="val", chosen={"k": 3}, also={"bank": 5}, seconds={"fit": 1.0}
    )


def test_the_score_says_all_it_should():
    score = scored(3)
    assert (score.metric, score.value, score.n) == ("top1", 0.75, 8)
    assert score.interval == wilson_interval(6, 8)
    assert (score.selected_on, score.evaluated_on) == ("val", "test")
    assert (score.chosen, score.seconds) == ({"k": 3}, {"fit": 1.0})
    assert score.also == {
        "mean_per_class": pytest.approx(1 / 3),
        "nll": pytest.approx(-(6 * np.log(0.6) + 2 * np.log(0.2)) / 8),
        "ece": pytest.approx(0.15),
        "bank": 5,
    }


def test_top_5_needs_more_than_five_classes():
    assert "top5" not in scored(5).also
    assert scored(6).also["top5"] == 1.0
