"""Labels that distinguish records."""

from tests.reports.records import record
from transferkit.core.record_labels import labels_of, ordered_recipes


def test_plain_names_stay_plain():
    (label,) = labels_of([record("m", "d", 0.5, settings={"shots": 5, "queries": 15}, protocol="fewshot")])
    assert (label.model, label.data, label.recipe) == ("m", "d", "fewshot 5-shot")


def test_settings_that_differ_are_added_to_the_recipe():
    found = [record("m", "d", 0.5, settings={"penalties": n, "solver": "x"}) for n in (12, 45)]
    assert [label.recipe for label in labels_of(found)] == ["linear (penalties 12)", "linear (penalties 45)"]


def test_preprocessing_that_differs_is_added_to_the_model():
    found = [record("m", "d", 0.5, preprocessing={"transform": {"crop": n}}) for n in (32, 64)]
    assert [label.model for label in labels_of(found)] == ["m (crop 32)", "m (crop 64)"]


def test_a_digest_of_changed_images_is_added_to_the_data_set():
    found = [record("m", "d", 0.5, fingerprint=n) for n in ("aaaa", "bbbb")]
    assert [label.data for label in labels_of(found)] == ["d (fingerprint aaaa)", "d (fingerprint bbbb)"]


def test_layers_seeds_and_axes_are_no_collision():
    records = [
        record("m", "d", 0.5, layer="a"),
        record("m", "d", 0.5, layer="b", pooling="max"),
        record("m", "d", 0.5, layer="a", seed=1, weights="w2"),
        *(record("m", "d", 0.5, protocol="robustness", settings={"corruption": "blur", "severity": s}) for s in (1, 2)),
    ]
    labels = list(labels_of(records))
    assert {label.model for label in labels} == {"m"}
    assert {label.recipe for label in labels} == {"linear", "robustness"}


def test_another_model_keeps_its_plain_name():
    found = [
        record("m", "d", 0.5, pooling="avg"),
        record("m", "d", 0.5, pooling="max"),
        record("n", "d", 0.5),
    ]
    assert [label.model for label in labels_of(found)] == ["m (pooling avg)", "m (pooling max)", "n"]


def recipes(*records):
    return [label.recipe for label in labels_of(records)]


def penalties(model: str, *counts: int, data: str = "d"):
    return [record(model, data, 0.5, settings={"penalties": n}) for n in counts]


def test_one_more_setting_of_one_model_keeps_the_shared_recipe():
    """All models have the shared recipe under the same name."""
    found = recipes(*penalties("m", 12, 45), *penalties("n", 12), *penalties("n", 12, data="e"))
    assert found == ["linear (penalties 12)", "linear (penalties 45)", *["linear (penalties 12)"] * 2]


def test_models_with_different_settings_have_different_recipes():
    found = recipes(*penalties("m", 12), *penalties("n", 45))
    assert found == ["linear (penalties 12)", "linear (penalties 45)"]


def test_other_protocols_keep_their_names():
    other = record("m", "d", 0.5, protocol="knn", settings={"k": 20})
    assert recipes(*penalties("m", 12, 45), other)[-1] == "knn"


def test_one_more_size_of_a_model_names_all_its_records_and_no_others():
    sizes = [record("m", "d", 0.5, preprocessing={"transform": {"crop": n}}) for n in (32, 64)]
    rest = [
        record("m", "e", 0.5, protocol="knn", preprocessing={"transform": {"crop": 32}}),
        record("n", "d", 0.5, preprocessing={"transform": {"crop": 32}}),
    ]
    names = [label.model for label in labels_of([*sizes, *rest])]
    assert names == ["m (crop 32)", "m (crop 64)", "m (crop 32)", "n"]


def test_changed_images_name_the_data_set_for_all_models():
    found = [record("m", "d", 0.5, fingerprint=n) for n in ("aaaa", "bbbb")]
    found += [record("n", "d", 0.5, fingerprint="bbbb"), record("n", "e", 0.5, fingerprint="bbbb")]
    assert [label.data for label in labels_of(found)][1:] == ["d (fingerprint bbbb)"] * 2 + ["e"]


def test_a_list_of_one_is_shown_as_its_element():
    found = [record("m", "d", 0.5, settings={"lr": lr}) for lr in ([0.1], [0.1, 0.2])]
    assert recipes(*found) == ["linear (lr 0.1)", "linear (lr [0.1, 0.2])"]


def test_a_setting_without_a_value_is_left_out():
    found = [record("m", "d", 0.5, settings={"size": size}) for size in (None, 64)]
    assert recipes(*found) == ["linear", "linear (size 64)"]


def test_recipes_are_ordered_by_protocol_and_number():
    mixed = ["zeta", "semantic high", "fewshot 10-shot lr", "fewshot 5-shot lr", "semantic low", "linear"]
    assert ordered_recipes(mixed) == (
        "linear",
        "fewshot 5-shot lr",
        "fewshot 10-shot lr",
        "semantic low",
        "semantic high",
        "zeta",
    )
