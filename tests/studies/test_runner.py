"""A task as the process that it is given to carries it out: every kind, alone and with others."""

import json

import pytest

from tests.datasets.kornblith_trees import voc2007
from tests.studies.studies import PLAIN, carried_out, place_at, small
from transferkit.core.json_dataclass import to_plain
from transferkit.core.results import ResultStore
from transferkit.probes.builtin import FewshotSettings, KnnSettings
from transferkit.protocols.analyses.analyze import analyze
from transferkit.protocols.finetuning.settings import FinetuneSettings
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.settings import ExtractSettings
from transferkit.studies.grid import Task, grid_of
from transferkit.studies.outcome import Outcome
from transferkit.studies.runner import TaskRunner

KINDS = """
[[finetune]]
models = ["random:test_resnet"]
epochs = 1
max_pixels = 32
[[analyze]]
kind = "cka"
[[analyze]]
kind = "separation"
[[analyze]]
kind = "transferability"
[[analyze]]
kind = "robustness"
corruptions = ["blur"]
severities = [3]
penalties = 3
models = ["pixels"]
"""


def test_every_kind_leaves_the_records_that_its_command_would(tmp_path):
    context = place_at(tmp_path / "w")
    run, _ = carried_out(small(tmp_path, KINDS, PLAIN), context)
    assert not run.failed, run.failed
    found = {record.protocol for record in run.results(context)}
    assert found == {
        "linear", "fewshot", "knn", "finetune", "cka", "separation", "transferability", "robustness",
    }  # fmt: skip
    stored = {record.cell for record in ResultStore(context.workspace.results)}
    assert set(run.cells) <= stored
    data = f"folder:{tmp_path / 'pictures'}"
    shown = ExtractSettings(size=32, device="cpu", precision="fp32")
    by_hand = analyze("separation", ["random:test_resnet"], [data], shown, context=context)
    assert {record.cell for record in by_hand} <= set(run.cells), "the same cells as by hand"


@pytest.mark.parametrize(
    "settings",
    [
        FewshotSettings(shots=3, method="ridge"),
        KnnSettings(k=(1, 2)),
        FinetuneSettings(lr=(0.1, 0.2)),
        PretrainSettings(loss="ce", epochs=3),
    ],
)
def test_settings_survive_as_plain_values(settings):
    assert type(settings).from_json(json.loads(json.dumps(to_plain(settings)))) == settings


def test_whatever_goes_wrong_becomes_a_line(tmp_path, monkeypatch):
    context = place_at(tmp_path / "w")
    task = next(iter(grid_of(small(tmp_path, text=PLAIN)).values()))
    bench = TaskRunner(context.workspace)

    def broken(task: Task) -> None:
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr(bench, "perform", broken)
    outcome = bench.attempt(task)
    assert (outcome.task_record, outcome.error) == (None, "ZeroDivisionError: one")
    assert "broken" in outcome.trace
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


def test_a_layer_that_is_not_there_stops_only_the_question_that_asks_for_it(tmp_path):
    layers = 'layers = ["last", "layr*"]\nmodels = ["random:test_resnet"]'
    text = f'\n[[probe]]\nprotocol = "knn"\nk = 5\n{layers}\n'
    run, _ = carried_out(small(tmp_path, text, PLAIN), place_at(tmp_path / "w"))
    assert [mark.title for mark in run.failed] == [f"knn · random:test_resnet · folder:{tmp_path / 'pictures'}"]
    assert "No layer named 'layr*'. Did you mean 'layer" in run.failed[0].error
    assert (run.count("done"), run.count("blocked")) == (10, 0)


def test_features_of_which_no_layer_is_there_are_a_failure(tmp_path):
    text = '\n[[probe]]\nlayers = ["layr*"]\nmodels = ["random:resnet10t"]\n'
    run, _ = carried_out(small(tmp_path, text, PLAIN), place_at(tmp_path / "w"))
    assert [mark.title.split(" · ")[0] for mark in run.failed] == ["extract random:resnet10t"]
    assert run.count("blocked") == 1


def test_a_question_that_some_layers_cannot_answer_is_a_failure(tmp_path):
    text = '\n[[probe]]\nprotocol = "fewshot"\nshots = 100\nways = 3\nmodels = ["pixels"]\n'
    run, _ = carried_out(small(tmp_path, text, PLAIN), place_at(tmp_path / "w"))
    (failed,) = run.failed
    assert failed.title.startswith("fewshot 100-shot")
    assert run.count("done") == 10


MORE = """
[[finetune]]
models = ["random:test_resnet"]
epochs = 1
max_pixels = 32
[[analyze]]
kind = "separation"
models = ["pixels"]
[[analyze]]
kind = "cka"
"""


def test_images_with_several_labels_are_probed_and_what_needs_one_is_refused(tmp_path):
    context = place_at(tmp_path / "w")
    voc2007(context.workspace.data / "voc2007")
    text = PLAIN.replace('"folder:{pictures}"', '"voc2007"')
    run, _ = carried_out(small(tmp_path, MORE, text), context)
    refused = {mark.title.partition(" · ")[0]: mark.error for mark in run.failed}
    assert set(refused) == {"fewshot 1-shot lr", "fewshot 2-shot lr", "finetune", "separation"}
    for error in refused.values():
        assert error.startswith("voc2007 has several labels per image, but ")
    found = {(record.protocol, record.metric) for record in run.results(context)}
    assert {("linear", "map11"), ("knn", "map11")} <= found
    assert {protocol for protocol, _ in found} == {"linear", "knn", "cka"}
