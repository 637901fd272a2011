"""The table of records at several widths."""

from dataclasses import replace

import pytest

from tests.core.test_results import CELL, SCORE
from transferkit.core.record_table import record_table
from transferkit.core.results import Result
from transferkit.core.statistics import Interval

BIRDS = "folder:/data/projects/wildlife/datasets/birds/train"
CHECKPOINT = "file:/data/checkpoints/first-run/epoch_0100.pth#resnet50"
LINEAR = {"protocol": "linear", "settings": {"penalties": 12}}
KNN = {"protocol": "knn", "settings": {"k": [5, 20]}}


def record(**fields: object) -> Result:
    interval = Interval(0.602, 0.682, "wilson")
    knn = fields.get("protocol") == "knn"
    chosen = {"k": 20} if knn else {"penalty": 0.0316227, "C": 31.6, "at_edge": False}
    score = replace(SCORE, value=0.642, interval=interval, chosen=chosen, selected_on="val")
    return Result.of(replace(CELL, **fields), score, dim=3, skipped_rows=0)


def printed(records: list[Result], width: int) -> str:
    return record_table(records).text(width)


def test_constant_columns_are_one_caption():
    assert printed([record(**LINEAR)], 80) == (
        "model           data         value  95 % interval    n\n"
        "──────────────────────────────────────────────────────\n"
        "imagenet-lite0  mini/digits  0.642    0.602–0.682  400\n"
        "\n"
        "layer blocks.6 · seed 0 · linear · accuracy · chosen: penalty 0.0316\n"
        "chosen on val · scored on test · 0 unreadable"
    )


def test_a_caption_without_selection_names_no_split():
    assert printed([replace(record(**LINEAR), selected_on="none")], 80).endswith(
        "\nlayer blocks.6 · seed 0 · linear · accuracy · chosen: penalty 0.0316\nscored on test · 0 unreadable"
    )


def test_what_differs_has_a_column_where_there_is_room():
    records = [record(**LINEAR), record(**KNN, seed=1)]
    assert printed(records, 100) == (
        "model           data         seed  protocol  chosen          value  95 % interval    n\n"
        "──────────────────────────────────────────────────────────────────────────────────────\n"
        "imagenet-lite0  mini/digits  0     linear    penalty 0.0316  0.642    0.602–0.682  400\n"
        "imagenet-lite0  mini/digits  1     knn       k 20            0.642    0.602–0.682  400\n"
        "\n"
        "layer blocks.6 · accuracy · chosen on val · scored on test · 0 unreadable"
    )


def test_protocols_become_headings_where_there_is_none():
    records = [record(**protocol, layer=layer) for layer in ("blocks.5", "blocks.6") for protocol in (LINEAR, KNN)]
    assert printed(records, 80) == (
        "model           data         layer     chosen          value  95 % interval    n\n"
        "────────────────────────────────────────────────────────────────────────────────\n"
        "linear\n"
        "imagenet-lite0  mini/digits  blocks.5  penalty 0.0316  0.642    0.602–0.682  400\n"
        "imagenet-lite0  mini/digits  blocks.6  penalty 0.0316  0.642    0.602–0.682  400\n"
        "\n"
        "knn\n"
        "imagenet-lite0  mini/digits  blocks.5  k 20            0.642    0.602–0.682  400\n"
        "imagenet-lite0  mini/digits  blocks.6  k 20            0.642    0.602–0.682  400\n"
        "\n"
        "seed 0 · accuracy · chosen on val · scored on test · 0 unreadable"
    )


@pytest.mark.parametrize("width", [80, 200])
def test_long_paths_are_shortened_and_spelled_out_once(width):
    records = [record(**LINEAR, model=model, data=data) for model in ("a", CHECKPOINT) for data in ("b", BIRDS)]
    text = printed(records, width)
    assert text.startswith(
        "model                      data     value  95 % interval    n\n"
        "─────────────────────────────────────────────────────────────\n"
        "a                          b        0.642    0.602–0.682  400\n"
        "a                          …/train  0.642    0.602–0.682  400\n"
        "…/epoch_0100.pth#resnet50  b        0.642    0.602–0.682  400\n"
        "…/epoch_0100.pth#resnet50  …/train  0.642    0.602–0.682  400\n"
    )
    assert text.endswith(f"\n…/epoch_0100.pth#resnet50 = {CHECKPOINT}\n…/train = {BIRDS}")


def test_rows_that_differ_in_nothing_visible_say_what_differs():
    text = printed([record(**LINEAR), record(**LINEAR, pooling="cls")], 80)
    assert "imagenet-lite0 (pooling avg)  mini/digits  0.642" in text
    assert "imagenet-lite0 (pooling cls)  mini/digits  0.642" in text


@pytest.mark.parametrize("width", [10, 20, 30, 40, 60, 80, 100, 160, 200])
def test_no_name_heading_or_number_is_split_at_any_width(width):
    records = [
        record(**protocol, model=model, data=data, layer=layer)
        for model in ("imagenet-lite0", CHECKPOINT)
        for data in ("mini/digits", BIRDS)
        for layer in ("blocks.5", "blocks.6")
        for protocol in (LINEAR, KNN)
    ]
    text = printed(records, width)
    assert text.count("0.642 ") == text.count("0.602–0.682") == len(records)
    for whole in ("95 % interval", "mini/digits", "imagenet-lite0", "blocks.5", "blocks.6", CHECKPOINT, BIRDS):
        assert whole in text
    rows = [line for line in text.splitlines() if "0.642" in line]
    assert max(map(len, rows)) <= max(width, len("0.642    0.602–0.682  400"))


def test_an_analysis_shows_what_it_varied():
    found = [
        record(protocol="robustness", settings={"corruption": name, "severity": level})
        for name in ("fog", "snow")
        for level in (1, 2)
    ]
    text = printed(found, 80)
    assert [line.split("digits  ")[1][:16] for line in text.splitlines()[2:6]] == [
        "fog severity 1  ",
        "fog severity 2  ",
        "snow severity 1 ",
        "snow severity 2 ",
    ]


def test_nothing_is_printed_without_records():
    assert printed([], 80) == ""
