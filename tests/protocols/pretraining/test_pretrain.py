"""Runs from their first step to their last, and what happens to them in between."""

import json
import math
import os
import shutil
import signal
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tests.protocols.pretraining.runs import (
    COLOURS,
    COUNTS,
    Notes,
    command,
    draw_pictures,
    run,
    small,
    weights,
)
from transferkit.core.errors import (
    CheckpointError,
    DataError,
    DiskSpaceError,
    ModelError,
    ShapeError,
    UnknownNameError,
    UsageError,
)
from transferkit.core.locks import Lock
from transferkit.data.view_loading import load_views
from transferkit.models.catalog import default_model, load_encoder
from transferkit.protocols.context import RunContext
from transferkit.protocols.pretraining import pretrain as module
from transferkit.protocols.pretraining.monitor import Monitor
from transferkit.protocols.pretraining.pretrain import default_name
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.pretraining.trainer import Trainer
from transferkit.training.settings import TrainerConfig

LOSSES = ("ce", "selfsupcon", "supcon", "supcon-batch", "joint", "joint-supcon")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_objective_learns_to_tell_colours_apart(loss, pictures, tmp_path):
    trained = run(small(pictures, loss=loss, epochs=6), tmp_path, name="r")
    losses = [line["total"] for line in trained.history]
    assert all(map(math.isfinite, losses))
    if loss in ("ce", "supcon-batch"):  # a task with a queue grows harder as it fills
        assert losses[-1] < 0.9 * losses[0]
    assert trained.history[-1]["knn"] > 0.85  # chance is 0.33


def test_the_encoder_of_a_run_is_a_model(pictures, tmp_path):
    run(small(pictures), tmp_path, name="first")
    encoder = load_encoder("run:first", runs=tmp_path / "runs")
    assert encoder.spec == "run:first"
    assert (encoder.preprocessing.resize, encoder.preprocessing.crop) == (32, 32)
    assert encoder.module(torch.zeros(2, 3, 32, 32)).shape[0] == 2
    kept = weights(tmp_path, "first")
    for name, value in encoder.module.state_dict().items():
        assert torch.equal(value, kept[f"module.encoder.{name}"]), name
    assert default_model(tmp_path / "runs") == "latest"
    latest = load_encoder("latest", runs=tmp_path / "runs")
    assert (latest.spec, latest.weights) == ("run:first", encoder.weights)


def test_the_best_encoder_is_that_of_the_epoch_with_the_best_neighbours(pictures, tmp_path, monkeypatch):
    scores = iter([0.5, 0.9, 0.7])
    monkeypatch.setattr("transferkit.protocols.pretraining.monitor.Monitor.accuracy", lambda *_: next(scores))
    seen = []
    save = module._Training._save

    def watch(training, *, best=False):
        save(training, best=best)
        seen.append(weights(tmp_path, "r", "encoder")["conv1.0.weight"])

    monkeypatch.setattr(module._Training, "_save", watch)
    run(small(pictures, epochs=3, loss="ce"), tmp_path, name="r")
    assert torch.equal(weights(tmp_path, "r", "best")["conv1.0.weight"], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert load_encoder("run:r@best", runs=tmp_path / "runs").spec == "run:r@best"


class Stopped(Exception):
    """An error that a test raises in a run."""


def stop_before(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training fail when it reaches the step of this number."""
    take = Trainer.step

    def fail(self, number, batch):
        if number == step:
            raise Stopped
        return take(self, number, batch)

    monkeypatch.setattr(Trainer, "step", fail)


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (4, {}),  # between two epochs
        (6, {}),  # in the middle of one, the checkpoint being of the step before
        (6, {"loss": "joint-supcon", "augment_on": "cpu", "precision": "bf16"}),
        (6, {"optimizer": "adamw", "lr": 0.001, "clip": 0.5}),
        (7, {"optimizer": "lars", "accumulate": 2}),
    ],
)
def test_an_interrupted_run_ends_with_the_same_bits(step, changes, pictures, tmp_path, monkeypatch):
    settings = small(pictures, **changes)
    every_step = TrainerConfig(device="cpu", workers=0, checkpoint_minutes=0)
    run(settings, tmp_path / "whole", name="r")
    with monkeypatch.context() as patch:
        stop_before(step, patch)
        with pytest.raises(Stopped):
            run(settings, tmp_path / "parts", name="r", trainer_config=every_step)
    notes = Notes()
    resumed = run(settings, tmp_path / "parts", name="r", reporter=notes)
    assert any(note.startswith("Resuming the run r at step") for note in notes.notes)
    whole, parts = weights(tmp_path / "whole", "r"), weights(tmp_path / "parts", "r")
    assert_close(parts, whole, rtol=0, atol=0)
    assert [line["epoch"] for line in resumed.history] == [1, 2]
    again = run(settings, tmp_path / "whole", name="r")
    for line, other in zip(resumed.history, again.history, strict=True):
        assert {**line, "seconds": 0} == {**other, "seconds": 0}


def test_workers_do_not_change_the_bits(pictures, tmp_path):
    settings = small(pictures, augment_on="cpu", epochs=1, warmup_epochs=0)
    run(settings, tmp_path / "none", name="r")
    run(settings, tmp_path / "two", name="r", trainer_config=TrainerConfig(device="cpu", workers=2))
    assert_close(weights(tmp_path / "two", "r"), weights(tmp_path / "none", "r"), rtol=0, atol=0)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bits(pictures, tmp_path):
    arguments = ["pretrain", "--data", f"folder:{pictures}", "--model", "random:test_resnet", "--name", "r"]
    arguments += ["--epochs", "40", "--batch", "8", "--size", "32", "--queue-size", "32", "--bn-splits", "2"]
    arguments += ["--precision", "fp32", "--device", "cpu", "--checkpoint-minutes", "0", "--eval-every", "0"]
    whole = command("transferkit", *arguments, "--workspace", str(tmp_path / "whole"), "--json", "--quiet")
    output, errors = whole.communicate(timeout=240)
    assert whole.returncode == 0, errors
    state = tmp_path / "parts" / "runs" / "r" / "training.safetensors"
    killed = 0
    for _ in range(3):
        process = command("transferkit", *arguments, "--workspace", str(tmp_path / "parts"))
        before = state.stat().st_mtime_ns if state.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if state.exists() and state.stat().st_mtime_ns != before:
                time.sleep(0.4)
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.01)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed
    last = command(
        "transferkit", "pretrain", "--name", "r", "--workspace", str(tmp_path / "parts"), "--json"
    )  # its name is enough
    parts, errors = last.communicate(timeout=240)
    assert last.returncode == 0, errors
    assert "Resuming the run" in errors
    assert_close(weights(tmp_path / "parts", "r"), weights(tmp_path / "whole", "r"), rtol=0, atol=0)
    assert [e["total"] for e in json.loads(parts)["history"]] == [e["total"] for e in json.loads(output)["history"]]


def test_a_finished_run_is_not_trained_again_unless_asked(pictures, tmp_path):
    first = run(small(pictures), tmp_path, name="r")
    before = weights(tmp_path, "r")
    notes = Notes()
    assert run(small(pictures), tmp_path, name="r", reporter=notes).history == first.history
    assert any("is finished; use --no-resume" in note for note in notes.notes)
    anew = run(small(pictures), tmp_path, name="r", resume=False)
    assert [line["seconds"] for line in anew.history] != [line["seconds"] for line in first.history]
    assert_close(weights(tmp_path, "r"), before, rtol=0, atol=0)  # all draws are named


CHANGES = {
    "loss": "ce",
    "model": "random:test_resnet@3",
    "epochs": 3,
    "batch": 9,
    "size": 33,
    "test_resize": 40,
    "test_crop": 31,
    "optimizer": "sgd",
    "lr": 0.03,
    "warmup_epochs": 0.25,
    "min_lr": 1e-7,
    "momentum": 0.8,
    "weight_decay": 0.0,
    "temperature": 0.2,
    "projection_dim": 64,
    "queue_size": 33,
    "ema_momentum": 0.9,
    "bn_splits": 4,
    "test_fit": "shorter",
    "test_interpolation": "bicubic",
    "crop_min_area": 0.3,
    "flip_prob": 0.4,
    "jitter": (0.2, 0.2, 0.2, 0.1),
    "jitter_prob": 0.7,
    "gray_prob": 0.1,
    "blur_prob": 0.1,
    "augment_on": "cpu",
    "accumulate": 2,
    "clip": 1.0,
    "eval_every": 2,
    "precision": "bf16",
    "seed": 1,
}


@pytest.fixture(scope="module")
def begun(pictures, tmp_path_factory):
    workspace = tmp_path_factory.mktemp("begun")
    run(small(pictures), workspace, name="r")
    return workspace


def test_every_setting_but_the_data_is_tried():
    assert CHANGES.keys() == {field.name for field in fields(PretrainSettings)} - {"data"}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_is_refused_by_name(name, begun, pictures):
    with pytest.raises(UsageError, match=f"other settings: .*{name} was .* and is .*--no-resume"):
        run(replace(small(pictures), **{name: CHANGES[name]}), begun, name="r")


def test_changed_images_are_refused(pictures, tmp_path):
    root = draw_pictures(tmp_path / "pictures")
    run(small(root), tmp_path / "w", name="r")
    (root / "train" / "red" / "00.png").write_bytes((root / "train" / "red" / "01.png").read_bytes())
    with pytest.raises(UsageError, match="other settings: images was"):
        run(small(root), tmp_path / "w", name="r")


def test_a_run_that_is_being_trained_is_left_alone(begun, pictures):
    lock = Lock(begun / "runs" / "r" / "lock")
    assert lock.acquire(wait=False)
    with pytest.raises(UsageError, match="Another process is training the run r"):
        run(small(pictures), begun, name="r")
    lock.release()


def test_a_run_whose_description_was_lost_goes_on_only_with_its_own_settings(pictures, tmp_path):
    run(small(pictures), tmp_path, name="r")
    (tmp_path / "runs" / "r" / "run.json").unlink()
    with pytest.raises(UsageError, match=r"started with other settings: lr was 0\.02 and is 0\.5"):
        run(small(pictures, lr=0.5), tmp_path, name="r")
    assert not (tmp_path / "runs" / "r" / "run.json").exists()
    assert len(run(small(pictures), tmp_path, name="r").history) == 2


def test_the_same_command_means_the_same_model_also_by_latest(pictures, tmp_path):
    run(small(pictures), tmp_path, name="first")
    again = [run(small(pictures, model="latest"), tmp_path, name="second").history for _ in range(2)]
    assert again[0] == again[1]


def test_a_run_goes_on_although_what_it_began_from_has_moved(pictures, tmp_path, monkeypatch):
    run(small(pictures), tmp_path, name="first")
    with monkeypatch.context() as patch:
        stop_before(5, patch)
        with pytest.raises(Stopped):
            run(small(pictures, model="run:first"), tmp_path, name="second")
    run(small(pictures, seed=4), tmp_path, name="first", resume=False)
    assert len(run(small(pictures, model="run:first"), tmp_path, name="second").history) == 2


def test_a_run_is_not_trained_into_itself(pictures, tmp_path):
    run(small(pictures), tmp_path, name="r")
    before = weights(tmp_path, "r")
    for model in ("run:r", "latest", "run:r@best"):
        with pytest.raises(UsageError, match="cannot be trained into itself"):
            run(small(pictures, model=model), tmp_path, name="r", resume=False)
    assert_close(weights(tmp_path, "r"), before, rtol=0, atol=0)


def test_unreadable_held_out_images_do_not_stop_training(tmp_path):
    root = draw_pictures(tmp_path / "pictures")
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"junk")
    notes = Notes()
    trained = run(small(root), tmp_path / "w", name="r", reporter=notes)
    assert len(trained.history) == 2
    assert all("knn" not in line for line in trained.history)
    assert sum("None of the val images" in note for note in notes.notes) == 2


def test_nothing_to_resume(pictures, tmp_path):
    with pytest.raises(UsageError, match="no run r to resume"):
        run(small(pictures), tmp_path, name="r", resume=True)


@pytest.mark.parametrize("damage", ["cut", "foreign", "other network", "old"])
def test_a_corrupt_or_foreign_checkpoint_is_refused_and_left_as_it_is(damage, pictures, tmp_path):
    from transferkit.training.checkpoints import load_tensors, save_tensors

    run(small(pictures), tmp_path, name="r")
    path = tmp_path / "runs" / "r" / "training.safetensors"
    tensors, state = load_tensors(path)
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[:-100])
        case "foreign":
            path.write_bytes(b"PK\x03\x04 not ours")
        case "other network":
            save_tensors(path, {"module.conv.weight": torch.ones(2)}, state)
        case "old":
            save_tensors(path, tensors, {})
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="--no-resume"):
        run(small(pictures), tmp_path, name="r")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"loss": ""}, UsageError, "A loss needs at least one term"),
        ({"loss": "sce"}, UnknownNameError, "Did you mean 'ce'"),
        ({"loss": "ce - selfsupcon"}, UsageError, "cannot be read"),
        ({"loss": "-1*ce"}, UsageError, "not a positive"),
        ({"queue_size": 10**12}, UsageError, "A queue of 1000000000000 keys does not fit into memory"),
        ({"accumulate": 1000}, DataError, "give a smaller --accumulate"),
        ({"queue_size": 8}, UsageError, "A queue of 8 keys cannot take batches of 8"),
        ({"batch": 3}, ShapeError, "A batch of 3 .* needs 4 or more"),
        ({"batch": 1000}, DataError, "36 images to train on, fewer than one batch of 1000.*--batch 36"),
        ({"model": "random:resnet81"}, UnknownNameError, "resnet18"),
        ({"model": "pixels"}, ModelError, "no weights to train"),
        ({"temperature": 0.0}, UsageError, "--temperature 0 is invalid: give more than 0"),
        ({"data": "mini/object"}, UnknownNameError, "Did you mean 'mini/objects'"),
        ({"precision": "fp16"}, UsageError, "fp16 needs a GPU"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(changes, error, words, pictures, tmp_path):
    with pytest.raises(error, match=words):
        run(small(pictures, **changes), tmp_path, name="r")
    assert not (tmp_path / "runs" / "r" / "run.json").exists()


@pytest.mark.parametrize("name", ["../r", "", "a b", "-r", "r,s", "r" * 300])
def test_a_name_that_is_no_name(name, pictures, tmp_path):
    with pytest.raises(UsageError, match="cannot be named"):
        run(small(pictures), tmp_path, name=name)


def test_an_image_that_cannot_be_read_is_named_and_another_shown(tmp_path):
    root = draw_pictures(tmp_path / "pictures")
    broken = root / "train" / "red" / "00.png"
    broken.write_bytes(broken.read_bytes()[:60])
    for where in ("cpu", "device"):
        notes = Notes()
        trained = run(small(root, augment_on=where), tmp_path / where, name="r", reporter=notes)
        assert 1 <= trained.unreadable <= 2  # an epoch leaves 4 of 36 images over
        named = [note for note in notes.notes if "red/00.png cannot be read" in note]
        assert len(named) == 1


def test_a_full_disk_is_refused_at_the_start(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(DiskSpaceError, match="Free some space"):
        run(small(pictures), tmp_path, name="r")


def test_gradients_of_several_steps_are_added_up(pictures, tmp_path):
    """Without batch statistics, momentum or noise, nine steps of 4 images equal one step of 36."""
    plain = {"loss": "ce", "model": "random:test_vit", "size": 160, "test_resize": 160, "test_crop": 160}
    plain |= {"epochs": 1, "warmup_epochs": 0, "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0}
    plain |= {"eval_every": 0, "crop_min_area": 1.0}
    run(small(pictures, batch=4, accumulate=9, **plain), tmp_path, name="r")
    moved = weights(tmp_path, "r", "encoder")
    run(small(pictures, batch=36, accumulate=1, **plain), tmp_path, name="whole")
    start = load_encoder("random:test_vit", runs=None).module.state_dict()
    for name in ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight"):
        step = moved[name] - start[name]
        assert step.abs().max() > 1e-6
        whole = weights(tmp_path, "whole", "encoder")[name] - start[name]
        cosine = torch.nn.functional.cosine_similarity(step.flatten(), whole.flatten(), dim=0)
        assert cosine > 0.95  # views are drawn by the batch, so they are not the same ones
        assert 0.9 < step.norm() / whole.norm() < 1.1


def test_notes_say_how_it_goes(pictures, tmp_path):
    notes = Notes()
    run(small(pictures), tmp_path, name="r", reporter=notes)
    assert notes.notes[0].startswith("epoch 1/2: total ")
    assert "k-NN 0." in notes.notes[0] or "k-NN 1." in notes.notes[0]
    files = sum(COUNTS.values()) * len(COLOURS)
    assert notes.advanced == files + 2 * 32  # whole batches of 36 images


def test_going_on_from_another_model(pictures, tmp_path):
    run(small(pictures, loss="ce"), tmp_path, name="first")
    run(small(pictures, loss="selfsupcon", model="run:first", lr=1e-6), tmp_path, name="second")
    first, second = (weights(tmp_path, name, "encoder") for name in ("first", "second"))
    assert_close(second["conv1.0.weight"], first["conv1.0.weight"], rtol=0, atol=1e-4)
    assert not torch.equal(second["conv1.0.weight"], first["conv1.0.weight"])


@pytest.mark.parametrize(("loss", "distorted"), [("ce", False), ("joint", True)])
def test_colours_of_views_change_with_contrastive_losses_only(loss, distorted, pictures, tmp_path, monkeypatch):
    """Crops of the whole image change its mean colour by rounding only."""
    seen = []

    def watched(split, settings, *rest, **options):
        settings = replace(settings, augment=replace(settings.augment, scale=(1.0, 1.0), ratio=(1.0, 1.0)))
        for batch in load_views(split, settings, *rest, **options):
            means = [split.reader.image(row).mean((0, 1)) for row in batch.rows.tolist()]
            seen.append(batch.views[0].mean((2, 3)).numpy() * 255 - means)
            yield batch

    monkeypatch.setattr("transferkit.protocols.pretraining.trainer.load_views", watched)
    run(small(pictures, loss=loss, epochs=1, warmup_epochs=0.5), tmp_path, name="r")
    change = np.abs(np.concatenate(seen)).max()
    assert (change > 10) == distorted
    assert distorted or change < 3


def test_a_seed_is_another_network_another_order_and_other_views(pictures, tmp_path):
    run(small(pictures, epochs=1, warmup_epochs=0, seed=1), tmp_path, name="one")
    run(small(pictures, epochs=1, warmup_epochs=0, seed=2), tmp_path, name="two")
    one, two = (weights(tmp_path, name, "encoder")["conv1.0.weight"] for name in ("one", "two"))
    assert (one - two).abs().mean() > 0.01


def test_names_of_runs():
    assert default_name(PretrainSettings()) == "joint_objects_resnet10t"
    assert default_name(PretrainSettings(data="folder:/a/my leaves/")) == "joint_my-leaves_resnet10t"


def test_images_without_labels_are_enough_for_a_loss_that_reads_none(tmp_path):
    pictures = draw_pictures(tmp_path / "pictures")
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (pictures / "train").rglob("*.png"):
        path.rename(flat / f"{path.parent.name}-{path.name}")
    trained = run(small(flat, loss="selfsupcon"), tmp_path / "w", name="r")
    assert "knn" not in trained.history[-1]  # there is nobody to ask
    with pytest.raises(UsageError, match=r"The loss ce needs at least 2 classes, but the data set has 1. Use selfs"):
        run(small(flat, loss="joint"), tmp_path / "w", name="s")


def test_where_there_is_one_class_nothing_is_watched(pictures, tmp_path, monkeypatch):
    labelled = RunContext.open

    def unlabelled(context, spec):
        dataset = labelled(context, spec)
        splits = {
            name: replace(split, classes=("unlabelled",), labels=split.labels * 0)
            for name, split in dataset.splits.items()
        }
        return replace(dataset, splits=splits)

    monkeypatch.setattr(RunContext, "open", unlabelled)
    trained = run(small(pictures, loss="selfsupcon"), tmp_path, name="r")
    assert all("knn" not in line for line in trained.history)  # it would be 1, whatever was learnt


def test_every_class_must_occur(tmp_path):
    from transferkit.protocols.dataset_catalog import open_dataset
    from transferkit.protocols.pretraining.job import _require_every_class

    root = draw_pictures(tmp_path / "pictures")
    split = open_dataset(f"folder:{root}", root=tmp_path).split("train")
    assert split.classes == tuple(COLOURS)
    without = replace(split, labels=split.labels.clip(max=1))
    with pytest.raises(DataError, match="no training image of the class 'red', which the loss ce"):
        _require_every_class(without, "ce")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++, which is not there")
def test_a_compiled_network_learns_the_same(pictures, tmp_path, monkeypatch):
    from torch._dynamo.utils import counters

    monkeypatch.setattr(Monitor, "accuracy", lambda *_: 0.5)  # for which the network is compiled twice more
    settings = small(pictures, loss="selfsupcon")
    counters.clear()
    compiled = run(settings, tmp_path / "c", name="r", trainer_config=TrainerConfig("cpu", workers=0, compile=True))
    assert counters["stats"]["unique_graphs"] >= 2  # the encoder, and that of the keys
    plain = run(settings, tmp_path / "p", name="r")
    losses, expected = ([line["total"] for line in each.history] for each in (compiled, plain))
    assert losses == pytest.approx(expected, rel=1e-3)
