"""The table of all results: cells over seeds, significance, and records that are left out."""

import json
from dataclasses import replace

import pytest

from tests.reports.records import record
from tests.reports.studied import DATA, LAYERS, MODELS, named, outcomes, study
from transferkit.core.files import digest_of, write_json
from transferkit.core.results import ResultStore
from transferkit.reports.result_table import DOMAINS, domain_of, domain_order, load_results, result_table


def two(a: float, b: float, **changes):
    """Two models on one data set, with the same rows."""
    return [
        record(name, "d", chance, half=0.03, outcomes=outcomes(chance, "d", seed=seed), **changes)
        for name, chance, seed in (("a", a, 1), ("b", b, 2))
    ]


def test_cells_are_those_of_the_deepest_layer():
    found = result_table(study())
    assert {found.records[c.records[0]].layer for key, c in found.cells.items() if key[0] == "linear"} == {"layer10"}
    assert len(found.by_layer) == len(MODELS) * len(DATA) * (2 * len(LAYERS) + 3 + 1)


def test_models_are_sorted_by_mean_and_data_sets_by_domain():
    found = result_table(study())
    assert found.models == ("good", "fair", "poor")
    assert found.data == ("mini/leaves", "mini/digits", "mini/cells", "folder:mine")
    assert found.domains["folder:mine"] == "other"


def test_recipes_leave_the_analyses_out():
    assert result_table(study()).recipes == (
        "linear",
        "fewshot 1-shot lr",
        "fewshot 5-shot lr",
        "fewshot 20-shot lr",
        "finetune",
        "semantic low",
    )


def test_seeds_share_a_cell():
    found = result_table([record("m", "d", value, seed=seed) for seed, value in enumerate((0.4, 0.6, 0.5))])
    cell = found.cells["linear", "m", "d"]
    assert cell.value == pytest.approx(0.5)
    assert cell.records == (0, 1, 2)
    assert cell.interval.half_width > 0.1
    two = result_table([record("m", "d", value, seed=seed) for seed, value in enumerate((0.4, 0.6))])
    assert two.cells["linear", "m", "d"].interval.limits is None


def test_only_a_significantly_better_model_is_the_best():
    assert result_table(two(0.9, 0.5)).clear_leaders == {("linear", "d"): "a"}
    assert result_table(two(0.52, 0.5)).clear_leaders == {}


def test_without_outcomes_the_intervals_must_not_overlap():
    apart = [record("a", "d", 0.60, half=0.02), record("b", "d", 0.55, half=0.02)]
    touching = [record("a", "d", 0.60, half=0.03), record("b", "d", 0.55, half=0.03)]
    assert result_table(apart).clear_leaders == {("linear", "d"): "a"}
    assert result_table(touching).clear_leaders == {}


def test_significance_is_corrected_for_the_number_of_models():
    """A difference with p just below 0.05 for two models is not significant among many models."""
    gap = [1] * 16 + [0] * 6  # mid-p 0.035
    rest = [0] * 16 + [1] * 6
    first = replace(outcomes(0.5, "d"), correct=tuple(gap + [1] * 178))
    others = [replace(first, correct=tuple(rest + [1] * 178)) for _ in range(4)]
    records = [record("a", "d", 0.97, outcomes=first)]
    records += [record(f"b{i}", "d", 0.92, outcomes=other) for i, other in enumerate(others)]
    assert result_table(records[:2]).clear_leaders == {("linear", "d"): "a"}
    assert result_table(records).clear_leaders == {}


def test_one_model_alone_is_not_best():
    assert result_table([record("a", "d", 0.5)]).clear_leaders == {}


def test_a_ranking_uses_the_shared_data_sets_and_names_models_that_lack_too_many():
    records = [record(m, d, v) for m, v in (("a", 0.5), ("b", 0.4)) for d in ("w", "x", "y", "z")]
    records += [record("c", d, 0.3) for d in ("w", "x", "y")] + [record("d", "z", 0.9)]
    ranked = result_table(records).ranked["linear"]
    assert ranked.data == ("w", "x", "y")
    assert set(ranked.means) == {"a", "b", "c"}
    assert ranked.left_out == ("d",)
    assert ranked.best == "a"


def test_records_lose_their_outcomes_which_are_kept_as_units():
    found = result_table(two(0.9, 0.5))
    assert [record.outcomes for record in found.records] == [None, None]
    assert found.units.keys() == {0, 1}


def test_stored_records_are_read_from_the_disk(tmp_path):
    store = ResultStore(tmp_path)
    for one in study():
        store.add(one)
    found, plain = load_results(store), result_table(study())
    assert len(found.records) == len(plain.records)
    assert found.clear_leaders == plain.clear_leaders
    assert found.cells.keys() == plain.cells.keys()
    assert all(r.outcomes is None for r in found.records)
    assert found.left_out == ()


def test_damaged_records_and_other_versions_are_left_out_and_named(tmp_path):
    store = ResultStore(tmp_path)
    good = named(record("m", "d", 0.5))
    store.add(good)
    store.add(named(record("m", "e", 0.5), version="0.0.9"))
    store.add(named(record("m", "f", 0.5), protocol="finetune-setting"))
    store.add(replace(named(record("m", "h", 0.5)), cell="0" * 64))  # as if asked for otherwise
    old = named(record("m", "o", 0.5)).to_json()
    old["view"] = old.pop("preprocessing")  # as version 5 named it
    write_json(tmp_path / f"{old['cell'][:32]}.json", {**old, "digest": digest_of(old)})
    (tmp_path / "broken.json").write_text("{")
    changed = tmp_path / f"{named(record('m', 'g', 0.5)).cell[:32]}.json"
    store.add(named(record("m", "g", 0.5)))
    value = json.loads(changed.read_text())
    changed.write_text(json.dumps({**value, "value": 0.99}))
    found = load_results(store)
    assert [r.data for r in found.records] == ["d"]
    assert len(found.left_out) == 4
    assert any("broken.json is not a valid result record" in s for s in found.left_out)
    assert any(changed.name in s and "differ from those that were written" in s for s in found.left_out)
    assert any(s.startswith("1 record is of transferkit 0.0.9, not ") for s in found.left_out)
    assert any(s.startswith("2 records are in an earlier format, and may have been") for s in found.left_out)


def test_only_wanted_records_are_read(tmp_path):
    store = ResultStore(tmp_path)
    for one in study():
        store.add(one)
    found = load_results(store, wanted={"model": ("good",), "protocol": ("linear", "cka"), "data": ()})
    assert {(r.model, r.protocol) for r in found.records} == {("good", "linear"), ("good", "cka")}


@pytest.mark.parametrize(
    ("spec", "domain"),
    [
        ("mini/digits", "symbolic"),
        ("mini/cells@shots=5", "medical"),
        ("eurosat", "satellite"),
        ("dtd:3", "texture"),
        ("folder:a/b", "other"),
        ("anything", "other"),
    ],
)
def test_domains(spec, domain):
    assert domain_of(spec) == domain


def test_unknown_domains_come_last():
    assert [domain_order(name) for name in (*DOMAINS, "other")] == list(range(7))
