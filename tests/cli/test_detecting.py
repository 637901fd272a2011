"""``finetune --task detection``: its options and its output."""

import json

import pytest
from click.testing import CliRunner

from tests.protocols.detecting.scenes import eight
from transferkit.core.errors import UsageError
from transferkit.core.results import Results
from transferkit.protocols.detecting.settings import DetectSettings
from transferkit.protocols.finetuning.finetune import Finetuned
from transferkit_cli.detecting import detection_settings, require_own_options
from transferkit_cli.main import cli

SMALL = (
    *("--model", "random:test_resnet", "--iterations", "2", "--batch", "4", "--min-size", "64"),
    *(
        "--test-min-size",
        "64",
        "--fpn-channels",
        "16",
        "--head-width",
        "32",
        "--rpn-proposals",
        "40",
        "--roi-samples",
        "16",
    ),
)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def _eight_pictures(monkeypatch):
    data = eight()
    monkeypatch.setattr("transferkit.protocols.detecting.detect.open_detection", lambda *_, **__: data)


def run(tmp_path, *arguments):
    whole = ["finetune", "--task", "detection", "--workspace", str(tmp_path), "--workers", "0", *arguments]
    return CliRunner().invoke(cli, [*whole, "--device", "cpu"])


@pytest.mark.usefixtures("_eight_pictures")
def test_detection_shows_tables_and_draws_detections(tmp_path):
    ended = run(tmp_path, *SMALL)
    assert ended.exit_code == 0, ended.output
    assert "11 points  all points" in ended.stdout
    assert "triangle" in ended.stdout
    (sheet,) = (tmp_path / "reports").glob("detections-*.png")
    assert f"Drawn: {sheet}" in ended.stdout.replace("\n", "")
    again = run(tmp_path, *SMALL, "--json")
    (record,) = json.loads(again.stdout)
    assert record["protocol"] == "detection"
    assert record["settings"]["iterations"] == 2
    (file,) = (tmp_path / "finetuned").glob("*/detections.npz")
    file.write_bytes(b"x")
    assert "Not drawn" in run(tmp_path, *SMALL).stdout
    file.unlink()
    assert "was removed; --force" in " ".join(run(tmp_path, *SMALL).stdout.split())


def test_options_of_the_other_task_are_rejected(tmp_path):
    ended = run(tmp_path, "--epochs", "3")
    assert ended.exit_code == 2
    assert "--epochs belongs to --task classification: omit it with --task detection" in ended.output
    for option, value in (("--detector", "fpn"), ("--on-error", "stop")):
        ended = CliRunner().invoke(cli, ["finetune", option, value, "--workspace", str(tmp_path)])
        assert ended.exit_code == 2
        assert f"{option} belongs to --task detection" in ended.output
    require_own_options("detection", {"lr": (0.1,), "min_size": (64,), "epochs": None, "device": "cpu"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--limit", "10"), "mini/scenes@limit=10 has the budget limit=10, which --task detection does not support"),
        (("--data", "voc0712", "--shots-per-class", "5"), "voc0712@shots=5 has the budget shots=5"),
        (
            ("--data", "imagenet:x"),
            "imagenet:x has no boxes, which --task detection needs. Choose from: coco",
        ),
        (("--data", "hf:beans"), "hf:beans has no boxes"),
        (("--data", "mini/digits@shots=5"), "mini/digits@shots=5 has no boxes"),
    ],
)
def test_data_without_boxes_or_with_a_budget_is_rejected(tmp_path, arguments, words):
    ended = run(tmp_path, *arguments)
    assert ended.exit_code == 2
    assert words in ended.output


def test_classification_accepts_budgets(tmp_path, monkeypatch):
    asked = []

    def finetune(models, data, *_, **__):
        asked.extend(data)
        return Finetuned(Results([]), process=1)

    monkeypatch.setattr("transferkit.protocols.finetuning.finetune.finetune", finetune)
    whole = ["finetune", "--data", "mini/digits", "--limit", "0.1", "--workspace", str(tmp_path)]
    assert CliRunner().invoke(cli, whole).exit_code == 0
    assert asked == ["mini/digits@limit=0.1"]


def test_detection_rejects_several_values_of_a_setting():
    assert detection_settings(["mini/scenes"], None, {"lr": (0.1,), "min_size": (64, 96)}) == DetectSettings(
        lr=0.1, min_size=(64, 96)
    )
    assert detection_settings(["voc0712:x"], None, {}).iterations == 24_000
    assert detection_settings(["voc0712:x"], "quick", {}) == DetectSettings()
    with pytest.raises(UsageError, match=r"--lr 0\.1,0\.2 has several values: --task detection takes one"):
        detection_settings(["mini/scenes"], None, {"lr": (0.1, 0.2)})
    with pytest.raises(UsageError, match="the default presets coco, quick: a run uses one"):
        detection_settings(["mini/scenes", "coco"], None, {})


def test_presets_of_both_tasks_are_listed():
    ended = CliRunner().invoke(cli, ["finetune", "--presets", "--json"])
    listed = {(one["task"], one["preset"]) for one in json.loads(ended.stdout)}
    assert {("classification", "islam"), ("detection", "voc0712"), ("detection", "coco")} <= listed
