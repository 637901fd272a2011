"""Networks that are evaluated on a data set they were trained on: records, notes, checkpoints."""

from dataclasses import replace

import pytest

from tests.protocols.finetuning.tuning import MODEL, SMALL, tuned
from tests.protocols.pretraining.runs import Notes, draw_pictures, run, small
from transferkit.core.workspace import Workspace
from transferkit.models.catalog import load_encoder
from transferkit.models.exchange import export_weights, import_weights
from transferkit.models.runs import Run
from transferkit.protocols.analyses.analyze import analyze
from transferkit.protocols.context import RunContext
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.settings import ExtractSettings
from transferkit.protocols.trained_on import seen_source

SHOWN = ExtractSettings(size=32, device="cpu", precision="fp32", workers=0)
FEWSHOT = eval_request("fewshot", shots=1, ways=2, queries=2, episodes=5)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, pictures):
    """A network fine-tuned on the pictures, pretrained on them, and one that was never trained on them."""
    root = tmp_path_factory.mktemp("seen")
    tuned(pictures, root, replace(SMALL, epochs=1, head="zero"))
    run(small(pictures, epochs=1), root, name="pretrained")
    return root


def fine_tuned(workspace):
    (folder,) = (workspace / "runs").glob("finetuned-*")
    return f"run:{folder.name}"


def probed(workspace, model, data, questions=(FEWSHOT,)):
    notes = Notes()
    context = RunContext(Workspace(workspace, workspace / "data"), reporter=notes)
    records = Evaluator(context, SHOWN).run([model], [data], list(questions))
    return records, [note for note in notes.notes if "was trained on" in note]


@pytest.mark.parametrize("made", ["fine-tuned", "pretrained"])
def test_a_network_is_marked_on_the_data_it_was_trained_on(made, workspace, pictures):
    data, model = f"folder:{pictures}", "run:pretrained" if made == "pretrained" else fine_tuned(workspace)
    records, notes = probed(workspace, model, data, [FEWSHOT, eval_request("linear", penalties=2)])
    assert {record.extra_metrics["trained_on"] for record in records} == {data}
    assert notes == [next(note for note in notes if note.startswith(f"{model} was trained on {data}:"))]
    assert "few-shot episodes draw from all images" in notes[0]
    assert "†" in str(records)
    assert "The model was trained on this data set" in str(records)
    again, repeated = probed(workspace, model, data)
    assert again[0].trained_on == data
    assert repeated == notes, "a finished record is no reason for silence"


def test_other_data_and_other_networks_are_not_marked(workspace, pictures, tmp_path):
    other = f"folder:{draw_pictures(tmp_path / 'others')}"
    for model, data in ((fine_tuned(workspace), other), (MODEL, f"folder:{pictures}")):
        records, notes = probed(workspace, model, data)
        assert "trained_on" not in records[0].extra_metrics
        assert not notes
        assert "†" not in str(records)


def test_budgets_and_options_refer_to_their_data_set():
    assert seen_source(["mini/leaves"], "mini/leaves@shots=5") == "mini/leaves"
    assert seen_source(["dtd:2", "folder:a"], "dtd@vtab1k") == "dtd:2"
    assert seen_source(["voc0712"], "voc2007") == "voc0712"
    assert seen_source(["folder:a"], "folder:b") == ""
    assert seen_source(["mini/objects"], "mini/leaves") == ""


def test_exported_and_imported_weights_are_marked(workspace, pictures, tmp_path):
    data, model = f"folder:{pictures}", fine_tuned(workspace)
    path = tmp_path / "weights.safetensors"
    export_weights(model, path, runs=workspace / "runs")
    assert load_encoder(f"file:{path}#test_resnet").trained_on == (data,)
    imported = import_weights(f"file:{path}#test_resnet", run=Run.named("imported", tmp_path / "runs"))
    assert imported.trained_on == (data,)
    export_weights(model, tmp_path / "weights.pt", runs=workspace / "runs")  # has no place for it
    assert load_encoder(f"file:{tmp_path / 'weights.pt'}#test_resnet").trained_on == ()
    newest = Run.named(model.removeprefix("run:"), workspace / "runs").newest
    assert load_encoder(f"file:{newest}#test_resnet").trained_on == (data,)
    newest = Run.named("pretrained", workspace / "runs").newest
    assert load_encoder(f"file:{newest}#test_resnet").trained_on == (data,)


def test_further_training_extends_trained_on(workspace, pictures, tmp_path):
    other = draw_pictures(tmp_path / "others")
    (record,) = tuned(other, workspace, replace(SMALL, epochs=1, head="zero"), model="run:pretrained")
    assert "trained_on" not in record.extra_metrics
    runs = [folder.name for folder in (workspace / "runs").glob("finetuned-others-*")]
    encoder = load_encoder(f"run:{runs[0]}", runs=workspace / "runs")
    assert encoder.trained_on == (f"folder:{pictures}", f"folder:{other}")


def test_fine_tuning_and_analyses_on_the_same_data_are_marked(workspace, pictures):
    data, notes = f"folder:{pictures}", Notes()
    (record,) = tuned(
        pictures, workspace, replace(SMALL, epochs=1, head="zero"), model="run:pretrained", reporter=notes
    )
    assert record.trained_on == data
    assert [note for note in notes.notes if "run:pretrained was trained on" in note]
    context = RunContext(Workspace(workspace, workspace / "data"), reporter=notes)
    found = analyze("separation", ["run:pretrained"], [data], SHOWN, context=context)
    assert {one.trained_on for one in found} == {data}
