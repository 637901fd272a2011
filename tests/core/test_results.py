import json
from dataclasses import fields, replace

import pytest

from transferkit.core.errors import DamagedError, OutdatedError
from transferkit.core.files import digest_of, write_json
from transferkit.core.outcomes import row_outcomes
from transferkit.core.results import Cell, Result, Results, ResultStore, Score
from transferkit.core.statistics import Interval

CELL = Cell(
    protocol="knn",
    model="imagenet-lite0",
    weights="w" * 64,
    data="mini/digits",
    fingerprint="f" * 64,
    layer="blocks.6",
    pooling="avg",
    preprocessing={"dtype": "float16", "crop": 224},
    settings={"k": 20, "temperature": 0.07},
    seed=0,
    version="0.1.0",
)
SCORE = Score(
    metric="accuracy",
    value=0.875,
    interval=Interval(0.8, 0.9, "wilson"),
    n=400,
    selected_on="none",
    evaluated_on="test",
    chosen={"k": 20},
    extra_metrics={"ece": 0.1},
    seconds={"fit": 0.0, "score": 1.5},
    outcomes=row_outcomes(["x", "y", "z"], [1, 0, 1]),
)


def result_of(cell: Cell) -> Result:
    return Result.of(cell, replace(SCORE, seconds={"load": 0.25, **SCORE.seconds}), dim=320, skipped_rows=2)


def changed(value: object) -> object:
    return {**value, "new": 1} if isinstance(value, dict) else value + type(value)(1)


@pytest.mark.parametrize("name", [field.name for field in fields(Cell)])
def test_every_field_of_a_cell_changes_its_digest(name):
    other = replace(CELL, **{name: changed(getattr(CELL, name))})
    assert other.digest != CELL.digest


@pytest.mark.parametrize("name", ["preprocessing", "settings"])
def test_the_order_of_settings_does_not_change_the_digest(name):
    turned = dict(reversed(getattr(CELL, name).items()))
    assert replace(CELL, **{name: turned}).digest == CELL.digest


def test_a_result_joins_cell_and_score():
    result = result_of(CELL)
    for field in fields(Cell):
        assert getattr(result, field.name) == getattr(CELL, field.name)
    assert result.to_json() == {
        **{field.name: getattr(CELL, field.name) for field in fields(Cell)},
        "cell": CELL.digest,
        "dim": 320,
        "metric": "accuracy",
        "value": 0.875,
        "ci_low": 0.8,
        "ci_high": 0.9,
        "ci_method": "wilson",
        "n": 400,
        "selected_on": "none",
        "evaluated_on": "test",
        "chosen": {"k": 20},
        "extra_metrics": {"ece": 0.1},
        "skipped_rows": 2,
        "seconds": {"load": 0.25, "fit": 0.0, "score": 1.5},
        "outcomes": {"unit": "rows", "of": SCORE.outcomes.of, "predictions": 1, "correct": "101"},
    }


def test_a_result_reads_as_one_line():
    assert str(result_of(CELL)) == "imagenet-lite0 · mini/digits · blocks.6 · knn: accuracy 0.875 ±0.050"


def test_a_stored_result_is_read_unchanged(tmp_path):
    store = ResultStore(tmp_path / "results")
    assert store.find(CELL) is None
    store.add(result_of(CELL))
    assert store.find(CELL) == result_of(CELL)
    assert store.find(replace(CELL, seed=1)) is None
    assert list(store) == [result_of(CELL)]


def test_a_record_without_an_interval_holds_null_and_shows_none(tmp_path):
    store = ResultStore(tmp_path)
    unknown = replace(SCORE, interval=Interval.unknown("fewer than 7 groups"))
    store.add(Result.of(CELL, unknown, dim=320, skipped_rows=0))
    found = store.find(CELL)
    assert found.to_json()["ci_low"] is None
    assert (found.interval.limits, found.ci_method) == (None, "none: fewer than 7 groups")
    assert str(found).endswith("accuracy 0.875")


def test_a_score_without_outcomes_leaves_none(tmp_path):
    store = ResultStore(tmp_path)
    bare = Result.of(CELL, replace(SCORE, outcomes=None), dim=320, skipped_rows=0)
    store.add(bare)
    assert store.find(CELL) == bare
    assert bare.to_json()["outcomes"] is None


def test_a_record_of_an_earlier_format_is_neither_read_nor_reused(tmp_path):
    old = result_of(CELL).to_json()
    del old["outcomes"]
    old["cell"] = "0" * 64
    write_json(tmp_path / f"{old['cell'][:32]}.json", {**old, "digest": digest_of(old)})
    store = ResultStore(tmp_path)
    (found,) = store.survey()
    assert isinstance(found, OutdatedError)
    assert list(store) == []


def test_a_second_record_of_a_cell_replaces_the_first(tmp_path):
    store = ResultStore(tmp_path)
    store.add(result_of(CELL))
    store.add(replace(result_of(CELL), value=0.5))
    assert [result.value for result in store] == [0.5]


def test_a_record_is_found_by_the_digest_of_its_cell(tmp_path):
    store, result = ResultStore(tmp_path), result_of(CELL)
    with pytest.raises(DamagedError, match=r"is missing\. Repeat the command"):
        store.named(result.cell)
    store.add(result)
    assert store.named(result.cell) == result


def test_records_come_by_model_data_protocol_and_layer(tmp_path):
    store = ResultStore(tmp_path)
    cells = [
        replace(CELL, model=model, data=data, protocol=protocol, layer=layer)
        for model in ("a", "b")
        for data in ("mini/digits", "mini/leaves")
        for protocol in ("knn", "linear")
        for layer in ("l1", "l2")
    ]
    for cell in reversed(cells):
        store.add(result_of(cell))
    assert [result.cell for result in store] == [cell.digest for cell in cells]


def test_a_store_that_was_never_written_to_is_empty(tmp_path):
    assert list(ResultStore(tmp_path / "absent")) == []
    assert not (tmp_path / "absent").exists()


OTHER = result_of(replace(CELL, seed=1)).to_json()


def damaged_texts() -> dict[str, bytes]:
    record = result_of(CELL).to_json()
    whole = json.dumps(record).encode()
    return {
        "empty": b"",
        "cut short": whole[: len(whole) // 2],
        "not text": b"\xff\xfe\x00",
        "not a record": b"[1, 2]",
        "a field too few": json.dumps({k: v for k, v in record.items() if k != "value"}).encode(),
        "an outcome that cannot be": json.dumps(
            {
                **(odd := {**record, "outcomes": {**record["outcomes"], "correct": "12"}}),
                "digest": digest_of(odd),
            }
        ).encode(),
        "a field too many": json.dumps({**record, "colour": "red"}).encode(),
        "an edited value": json.dumps({**record, "digest": digest_of(record), "value": 0.999}).encode(),
        "another cell": json.dumps({**OTHER, "digest": digest_of(OTHER)}).encode(),
    }


@pytest.mark.parametrize("damage", damaged_texts())
def test_a_damaged_record_is_named(tmp_path, damage):
    store = ResultStore(tmp_path)
    store.add(result_of(CELL))
    (path,) = tmp_path.iterdir()
    path.write_bytes(damaged_texts()[damage])
    for read in (lambda: store.find(CELL), lambda: list(store)):
        with pytest.raises(DamagedError) as caught:
            read()
        assert str(caught.value).startswith(f"{path} is not a valid result record (")
        assert str(caught.value).endswith("Delete it; the next run recomputes it.")


TWO = Results([result_of(CELL), result_of(replace(CELL, model="<b>", settings={"shots": 5}, layer="[red]"))])


def test_results_are_a_sequence():
    assert len(TWO) == 2
    assert TWO[1].model == "<b>"
    assert isinstance(TWO[:1], Results)
    assert list(TWO[:1]) == [result_of(CELL)]
    assert TWO.to_json() == [one.to_json() for one in TWO]


def test_results_read_as_a_table():
    heading, rule, *rows = [" ".join(line.split()) for line in str(TWO).splitlines() if line.strip()]
    assert heading == "model data layer protocol value 95 % interval n"
    assert set(rule) == {"─"}
    assert rows == [
        "imagenet-lite0 mini/digits blocks.6 knn 0.875 0.800–0.900 400",
        "<b> mini/digits [red] knn 5-shot 0.875 0.800–0.900 400",
        "seed 0 · accuracy · chosen: k 20 · scored on test · 2 unreadable",
    ]


def test_a_model_on_the_data_that_it_was_trained_on_is_marked():
    plain = result_of(CELL)
    seen = replace(plain, extra_metrics={"trained_on": "mini/digits"})
    for shown in (str(Results([plain, seen])), Results([plain, seen])._repr_html_()):
        assert shown.count("mini/digits †") == 1
        assert "† The model was trained on this data set: the number does not measure transfer." in shown
        assert "trained on" not in str(Results([plain]))


def test_a_notebook_shows_names_as_they_are():
    page = TWO._repr_html_()
    assert "<td>&lt;b&gt;</td>" in page
    assert "<td>test</td><td>2</td>" in page
    assert page.count("<tr>") == 3
    assert page.count("<td>") == 2 * page.count("<th>")


def test_a_survey_yields_errors_for_damaged_records(tmp_path):
    store = ResultStore(tmp_path)
    kept = result_of(CELL)
    store.add(kept)
    (tmp_path / "0.json").write_text("{")
    broken, found = store.survey()
    assert "0.json is not a valid result record" in str(broken)
    assert found == kept


def test_a_record_with_other_formatting_is_valid_and_a_changed_one_is_not(tmp_path):
    store = ResultStore(tmp_path)
    store.add(result_of(CELL))
    (path,) = tmp_path.glob("*.json")
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(value), encoding="utf-8")
    assert list(store) == [result_of(CELL)]
    path.write_text(json.dumps({**value, "value": 0.125}), encoding="utf-8")
    with pytest.raises(DamagedError, match="bytes differ from those that were written"):
        list(store)
