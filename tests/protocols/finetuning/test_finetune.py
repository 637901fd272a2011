"""Fine-tuning end to end, with a small real network on small real files."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from tests.protocols.finetuning.tuning import ALONE, MODEL, SMALL, Stop, Stopping, framed, kept, tuned
from tests.protocols.pretraining.runs import Notes, command, draw_pictures
from transferkit.cache.store import FeatureStore
from transferkit.core.errors import DataError, ModelError, UnknownNameError, UsageError
from transferkit.core.results import ResultStore
from transferkit.core.workspace import Workspace
from transferkit.models.architectures import find_architecture
from transferkit.models.catalog import load_encoder
from transferkit.models.exchange import export_weights
from transferkit.protocols.context import RunContext
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.extract import Extractor
from transferkit.protocols.finetuning import finetune as module
from transferkit.protocols.finetuning import training
from transferkit.protocols.finetuning.finetune import SETTING, RunOptions, finetune
from transferkit.protocols.finetuning.head_init import PENALTIES
from transferkit.protocols.settings import ExtractSettings


def test_it_learns_and_records_the_settings(pictures, tmp_path):
    (record,) = tuned(pictures, tmp_path, replace(SMALL, epochs=6, head="zero"))
    assert record.value == 1.0
    assert (record.protocol, record.layer, record.selected_on, record.evaluated_on, record.n) == (
        *("finetune", "all", "none", "test"),
        6,
    )
    curve = record.extra_metrics["curve"]
    assert [line["epoch"] for line in curve] == [1, 2, 3, 4, 5, 6]
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert record.extra_metrics["trained_rows"] == 54  # train and val together
    assert record.extra_metrics["steps"] == 6 * (54 // 8)
    assert {"ece", "nll", "mean_per_class"} <= record.extra_metrics.keys()
    assert not list((tmp_path / "finetuned").glob("*/training.safetensors"))


def test_at_learning_rate_zero_it_is_the_linear_probe_that_it_starts_from(pictures, tmp_path):
    (record,) = tuned(pictures, tmp_path, replace(SMALL, lr=(0.0,), batch=(54,), weight_decay=(0.0,)))
    context = RunContext(Workspace(tmp_path, tmp_path / "data"))
    (probe,) = Evaluator(context, ExtractSettings(size=32)).run(
        [MODEL], [f"folder:{pictures}"], [eval_request("linear", penalties=12)]
    )
    assert list(record.outcomes.correct) == list(probe.outcomes.correct)
    assert record.extra_metrics["nll"] == pytest.approx(
        probe.extra_metrics["nll"], rel=0.02
    )  # the cache holds half precision
    before = load_encoder(MODEL).module.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in kept(tmp_path).items())


@pytest.mark.parametrize(
    "changes", [{}, {"bn_stats": "update", "mixup": 0.4}, {"optimizer": "adamw", "randaugment": 5}]
)
def test_an_interrupted_run_ends_with_the_same_bits(changes, pictures, tmp_path):
    settings = replace(SMALL, epochs=3, head="zero", **changes)
    whole = tuned(pictures, tmp_path / "whole", settings)
    with pytest.raises(Stop):
        tuned(pictures, tmp_path / "cut", settings, reporter=Stopping(8 * 8))  # in the second epoch
    again = tuned(pictures, tmp_path / "cut", settings)
    ours, theirs = kept(tmp_path / "whole"), kept(tmp_path / "cut")
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert whole[0].value == again[0].value
    first = load_encoder(MODEL).module.state_dict()
    assert any(not torch.equal(tensor, first[name]) for name, tensor in ours.items())


def test_the_best_setting_is_trained_again_and_finished_ones_are_not(pictures, tmp_path, monkeypatch):
    settings = replace(SMALL, lr=(0.0, 0.05), head="zero", epochs=4)
    (record,) = tuned(pictures, tmp_path, settings)
    assert record.selected_on == "val"
    assert record.chosen["lr"] == 0.05
    compared = record.chosen["compared"]
    assert compared["lr 0.05, batch 8, weight decay 0.0001"] == max(compared.values()) > 0.9
    tried = [r for r in ResultStore(tmp_path / "results") if r.protocol == SETTING]
    assert [r.evaluated_on for r in tried] == ["val", "val"]
    calibrated = record.extra_metrics["calibration"]
    assert calibrated["fitted_on"] == "val"
    (best,) = (r for r in tried if r.settings["lr"] == 0.05)
    assert calibrated["temperature"] == best.extra_metrics["temperature"]
    counted = []
    monkeypatch.setattr(module.TrainingLoop, "run", lambda self: counted.append(self))
    (again,) = tuned(pictures, tmp_path, settings)
    assert (again.value, counted) == (record.value, [])
    tuned(pictures, tmp_path, replace(settings, lr=(0.0, 0.05, 0.1)))
    assert len(counted) == 2  # the setting that is new, and the final training


def test_a_setting_keeps_the_temperature_of_its_answers_alone(pictures, tmp_path, monkeypatch):
    fitted = []
    fit = module.fitted_temperature
    monkeypatch.setattr(module, "fitted_temperature", lambda *held: fitted.append(held) or fit(*held))
    settings = replace(SMALL, lr=(0.02, 0.03), head="zero", epochs=1)
    (record,) = tuned(pictures, tmp_path, settings)
    assert [len(labels) for _, labels in fitted] == [18, 18]
    store = ResultStore(tmp_path / "results")
    tried = {r.settings["lr"]: r for r in store if r.protocol == SETTING}
    expected = {lr: {"temperature": fit(*held)} for lr, held in zip(settings.lr, fitted, strict=True)}
    assert {lr: r.extra_metrics for lr, r in tried.items()} == expected
    own = expected[record.chosen["lr"]]["temperature"]
    assert own is not None
    assert record.extra_metrics["calibration"]["temperature"] == own
    for path in (tmp_path / "results").glob(f"{record.cell[:32]}*"):
        path.unlink()
    counted = []
    monkeypatch.setattr(module.TrainingLoop, "run", lambda self: counted.append(self.job.setting.lr))
    store.add(replace(tried[0.02], extra_metrics={"held": {"probabilities": [], "labels": []}}))  # as once they were
    tuned(pictures, tmp_path, settings)
    assert counted[0] == 0.02
    assert len(counted) == 2  # that one, and the final training


@pytest.mark.parametrize("patience", [0, 3])
@pytest.mark.parametrize("head", ["zero", "probe"])
def test_selection_on_held_out_rows_is_recorded_also_for_one_setting(head, patience, pictures, tmp_path):
    (record,) = tuned(pictures, tmp_path, replace(SMALL, patience=patience, head=head))
    assert record.selected_on == ("val" if patience or head == "probe" else "none")
    chosen = dict(record.chosen)
    if head == "probe":
        assert chosen.pop("penalty") in PENALTIES
    assert chosen == ({"epochs": len(record.extra_metrics["curve"])} if patience else {})


def test_test_images_do_not_influence_the_selection(pictures, tmp_path):
    """Permuted test labels change only the score."""
    turned = tmp_path / "turned"
    for path in pictures.rglob("*.png"):
        split, name, file = path.relative_to(pictures).parts
        other = {"blue": "green", "green": "red", "red": "blue"}[name] if split == "test" else name
        (turned / split / other).mkdir(parents=True, exist_ok=True)
        (turned / split / other / file).write_bytes(path.read_bytes())
    settings = replace(SMALL, lr=(0.0, 0.05), head="zero", epochs=4)
    (plain,), (wrong,) = tuned(pictures, tmp_path / "a", settings), tuned(turned, tmp_path / "b", settings)
    assert plain.chosen == wrong.chosen
    assert (plain.value, wrong.value) == (1.0, 0.0)


def test_layers_up_to_freeze_through_are_frozen(pictures, tmp_path):
    tuned(pictures, tmp_path, replace(SMALL, freeze_through="layer2", bn_stats="update", head="zero"))
    before, after = load_encoder(MODEL).module.state_dict(), kept(tmp_path)
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert moved
    assert not [name for name in moved if name.startswith(("conv1", "bn1", "layer1", "layer2"))]
    assert "layer4.0.conv1.weight" in moved
    assert "layer3.0.bn1.running_mean" in moved


def test_patience_stops_training_without_improvement(pictures, tmp_path):
    (record,) = tuned(pictures, tmp_path, replace(SMALL, lr=(0.0,), epochs=9, patience=2, head="zero"))
    assert [line["epoch"] for line in record.extra_metrics["curve"]] == [1, 2, 3]
    assert record.extra_metrics["trained_rows"] == 36  # val tells when to stop
    assert all("held_out" in line for line in record.extra_metrics["curve"])


def test_an_unreadable_test_image_is_left_out_and_counted(pictures, tmp_path):
    own = draw_pictures(tmp_path / "own")
    (own / "test" / "red" / "00.png").write_bytes(b"not an image")
    (own / "train" / "red" / "00.png").write_bytes(b"not an image")
    (record,) = tuned(own, tmp_path / "w")
    assert (record.n, record.skipped_rows) == (5, 1)


def test_a_loss_that_is_not_finite_names_the_setting(pictures, tmp_path):
    with pytest.raises(ModelError, match=r"diverged at lr 1e\+18, batch 8.*leave that learning rate out.*--clip"):
        tuned(pictures, tmp_path, replace(SMALL, lr=(1e18,), head="zero", bn_stats="update"))


def test_impossible_requests_are_refused(pictures, tmp_path):
    with pytest.raises(UnknownNameError, match="No layer named 'layer9'"):
        tuned(pictures, tmp_path, replace(SMALL, freeze_through="layer9"))
    context = RunContext(Workspace(tmp_path, tmp_path / "data"))
    with pytest.raises(ModelError, match="pixels has no weights to train"):
        finetune(["pixels"], [f"folder:{pictures}"], SMALL, context=context, trainer_config=ALONE)
    few = tmp_path / "few"
    for path in pictures.rglob("00.png"):
        split, name, file = path.relative_to(pictures).parts
        if split != "val":
            (few / split / name).mkdir(parents=True)
            (few / split / name / file).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="too few images to hold some out"):
        tuned(few, tmp_path)


SCRIPT = """
import sys
import torch
from safetensors.torch import save_file
from transferkit.protocols.finetuning.training import TrainingLoop
from transferkit_cli.main import main

torch.set_num_threads(1)
remove_checkpoint = TrainingLoop.remove_checkpoint

def kept(fit):
    weights = {name: value.contiguous() for name, value in fit.network.backbone.weights(None).items()}
    save_file(weights, f"{folder}/rank{fit.fabric.global_rank}.safetensors")
    remove_checkpoint(fit)

TrainingLoop.remove_checkpoint = kept
folder, *arguments = sys.argv[1:]
sys.argv[1:] = arguments
main()
"""


@pytest.mark.slow
def test_two_processes_train_what_one_does(pictures, tmp_path):
    """Without augmentation, batch statistics or incomplete batches, two half batches equal one batch."""
    settings = replace(SMALL, batch=(27,), augment=False, head="zero", epochs=2, lr=(0.01,))
    options = [
        f"--{name.replace('_', '-')}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in settings.to_json().items()
        if not isinstance(value, bool) and value is not None and name != "freeze_through"
    ]
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = command(
        *("torchrun", "--standalone", "--nproc-per-node=2", str(script), str(tmp_path)),
        *("finetune", f"--model={MODEL}", f"--data=folder:{pictures}", *options, "--no-augment"),
        *("--device=cpu", "--devices=2", "--json", f"--workspace={tmp_path / 'two'}"),
    )
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    (record,) = json.loads(output)  # one process speaks
    alone = replace(settings, batch=(54,), lr=(0.02,))  # the rate is multiplied by the processes
    (one,) = tuned(pictures, tmp_path / "one", alone)
    assert record["value"] == one.value
    first, second = (load_file(tmp_path / f"rank{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert_close(kept(tmp_path / "one"), first, rtol=1e-4, atol=1e-6)


def test_exported_weights_are_a_model(pictures, tmp_path):
    notes = Notes()
    tuned(pictures, tmp_path, replace(SMALL, epochs=1), reporter=notes)
    (said,) = [note for note in notes.notes if "fine-tuned weights are stored as the model" in note]
    encoder = load_encoder(said.rpartition(" ")[2], runs=tmp_path / "runs")
    assert encoder.preprocessing == load_encoder(MODEL).at(32).preprocessing
    with pytest.raises(UsageError, match="no finished pretraining run"):
        load_encoder("latest", runs=tmp_path / "runs")
    saved = kept(tmp_path)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in encoder.module.state_dict().items())
    assert np.isfinite([tensor.double().sum() for tensor in saved.values()]).all()
    notes = Notes()
    tuned(pictures, tmp_path / "other", replace(SMALL, epochs=1), reporter=notes, run_options=RunOptions(yes=True))
    tuned(pictures, tmp_path / "other", replace(SMALL, epochs=1), reporter=notes)
    assert "were not kept. Use --force --keep to train" in notes.notes[-1]


@pytest.mark.parametrize("batch_norm", [True, False])
def test_an_exported_network_predicts_as_the_scored_one(batch_norm, pictures, tmp_path, monkeypatch):
    scored, predict = [], training.TrainingLoop.predict
    monkeypatch.setattr(
        training.TrainingLoop, "predict", lambda fit, split: scored.append(predict(fit, split)) or scored[-1]
    )
    settings = replace(SMALL, batch_norm=batch_norm, head="zero", bn_stats="update")
    (record,) = tuned(pictures, tmp_path, settings)
    (folder,) = (tmp_path / "runs").iterdir()
    encoder = load_encoder(f"run:{folder.name}", runs=folder.parent)
    test = open_dataset(f"folder:{pictures}", root=tmp_path).split("test")
    images, head = framed(test, encoder.preprocessing), kept(tmp_path, "head.safetensors")
    with torch.no_grad():
        logits = encoder.module(images) @ head["weight"].T + head["bias"]
    assert_close(logits, torch.from_numpy(scored[-1].logits), rtol=1e-4, atol=1e-5)
    assert (logits.argmax(1).numpy() == test.labels).mean() == record.value
    exported = export_weights(f"run:{folder.name}", tmp_path / "whole.pt", runs=folder.parent)
    assert (exported.classes, exported.classifier) == (3, "trained")
    whole = find_architecture(exported.architecture).build(classes=3).eval()
    whole.load_state_dict(torch.load(exported.path, weights_only=True))
    with torch.no_grad():
        assert_close(whole(images), logits, rtol=1e-4, atol=1e-5)


def test_a_network_loaded_without_a_classifier_is_exported_with_one(pictures, tmp_path):
    """Encoders from contrastive pretraining and from fine-tuning have no classifier."""
    tuned(pictures, tmp_path, replace(SMALL, batch_norm=False))
    runs = tmp_path / "runs"
    (first,) = runs.iterdir()
    tuned(pictures, tmp_path, replace(SMALL, batch_norm=False), model=f"run:{first.name}")
    (second,) = set(runs.iterdir()) - {first}
    exported = export_weights(f"run:{second.name}", tmp_path / "whole.pt", runs=runs)
    assert (exported.classes, exported.classifier) == (3, "trained")
    held = torch.load(exported.path, weights_only=True)
    assert_close(held["fc.weight"], load_file(second / "head.safetensors")["weight"])


def test_cached_activations_replace_images(pictures, tmp_path, monkeypatch):
    """The weights are the same, and training images are never decoded."""
    settings = replace(SMALL, freeze_through="layer2", augment=False, head="zero", epochs=3, lr=(0.05,))
    tuned(pictures, tmp_path / "images", settings)
    context = RunContext(Workspace(tmp_path / "maps", tmp_path / "maps" / "data"))
    extraction = ExtractSettings(("layer2",), "whole", size=32, dtype="float32", precision="fp32")
    extractor = Extractor(load_encoder(MODEL), extraction, store=FeatureStore(context.workspace.features))
    dataset = context.open(f"folder:{pictures}")
    for name in ("train", "val"):
        extractor.open(dataset.split(name)).run()
    loaded = []
    load = training.load_batches
    monkeypatch.setattr(
        training,
        "load_batches",
        lambda split, *rest, **more: loaded.append(split.name) or load(split, *rest, **more),
    )
    tuned(pictures, tmp_path / "maps", settings)
    assert loaded == ["test"]
    assert_close(kept(tmp_path / "images"), kept(tmp_path / "maps"), rtol=1e-4, atol=1e-6)
    first = load_encoder(MODEL).module.state_dict()
    assert not torch.equal(kept(tmp_path / "maps")["layer4.0.conv1.weight"], first["layer4.0.conv1.weight"])


def test_rates_shrink_from_stage_to_stage(pictures, tmp_path):
    """With a decay of 0 only the classifier changes; with 0.1 the first stage changes far less than the last."""
    before = load_encoder(MODEL).module.state_dict()

    def moved(name, workspace):
        return float((kept(workspace)[name] - before[name]).norm() / before[name].norm())

    settings = replace(SMALL, head="zero", weight_decay=(0.0,), lr=(0.2,))
    first, last = "conv1.0.weight", "layer4.0.downsample.1.weight"
    tuned(pictures, tmp_path / "none", replace(settings, layer_decay=0.0))
    assert (moved(first, tmp_path / "none"), moved(last, tmp_path / "none")) == (0, 0)
    assert kept(tmp_path / "none", "head.safetensors")["weight"].norm() > 0
    for decay in (0.1, 1.0):
        tuned(pictures, tmp_path / str(decay), replace(settings, layer_decay=decay))
    share = [moved(first, tmp_path / d) / moved(last, tmp_path / d) for d in ("0.1", "1.0")]
    assert share[0] < share[1] / 10


def test_without_val_whole_groups_are_held_out(pictures, tmp_path):
    dataset = open_dataset(f"folder:{pictures}", root=tmp_path, seed=0)
    train = dataset.split("train")
    train = replace(train, groups=tuple(f"{row // 3}" for row in range(len(train))))
    job = SimpleNamespace(
        dataset=replace(dataset, splits={"train": train, "test": dataset.split("test")}),
        settings=replace(SMALL, head="zero"),
    )
    rows = module._Target._rows(job)
    assert not set(rows.train.groups) & set(rows.held_out.groups)
    assert len(rows.train) + len(rows.held_out) == len(train)
    assert set(rows.held_out.labels.tolist()) == set(train.labels.tolist())
    train = replace(train, groups=tuple(map(str, train.labels.tolist())))
    job.dataset = replace(job.dataset, splits={"train": train, "test": dataset.split("test")})
    with pytest.raises(DataError, match=r"has too few groups of images to hold some out\. Add groups"):
        module._Target._rows(job)
