"""Fine-tuning, compared with plain loops, with unreadable files, and with too little memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.protocols.finetuning.tuning import MODEL, SMALL, everything, kept, tuned, zero_head
from tests.protocols.pretraining.runs import COLOURS, Notes, draw_pictures
from tests.reference import finetuning as reference
from transferkit.core.errors import DataError, ModelError
from transferkit.core.seeding import generator
from transferkit.models.catalog import load_encoder
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.protocols.finetuning.head_init import HeadInit
from transferkit.protocols.finetuning.network import FinetuneNetwork
from transferkit.protocols.finetuning.training import TrainingLoop, TrainJob


@pytest.mark.parametrize("clip", [0.0, 0.3])
def test_a_plain_loop_ends_with_the_same_weights(clip, pictures, tmp_path):
    """One batch contains all rows, so their order does not matter."""
    settings = replace(
        SMALL, batch=(54,), epochs=5, augment=False, warmup_fraction=0.0, head="zero", lr=(0.05,), clip=clip
    )
    tuned(pictures, tmp_path, settings)
    encoder = load_encoder(MODEL).at(32)
    images, labels = everything(pictures, encoder)
    head = zero_head(encoder)
    limit = {"clip": clip} if clip else {}
    reference.finetuned(encoder.module, head, images, labels, lr=0.05, decay=1e-4, steps=5, **limit)
    ours = kept(tmp_path)
    assert_close(ours, dict(encoder.module.state_dict()), rtol=1e-3, atol=1e-5)
    assert_close(kept(tmp_path, "head.safetensors"), dict(head.state_dict()), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_a_plain_loop_over_batches_ends_with_the_same_weights(schedule, pictures, tmp_path, monkeypatch):
    """There are three batches per epoch, warmup and decay of the learning rate, and updated statistics."""
    settings = replace(
        SMALL,
        **{"batch": (18,), "epochs": 4, "augment": False, "head": "zero", "lr": (0.05,), "clip": 0.0},
        **{"schedule": schedule, "warmup_fraction": 0.25, "batch_norm": True, "bn_stats": "update"},
    )
    fits = []
    monkeypatch.setattr(TrainingLoop, "remove_checkpoint", lambda self: fits.append(self))
    tuned(pictures, tmp_path, settings)
    encoder = load_encoder(MODEL).at(32)
    images, labels = everything(pictures, encoder)
    head = zero_head(encoder)
    parts = nn.Sequential()
    for name, part in (("body", encoder.module), ("norm", nn.BatchNorm1d(head.in_features)), ("head", head)):
        parts.add_module(name, part)
    order = [torch.from_numpy(generator(0, "order", epoch).permutation(54)) for epoch in range(4)]
    batches = [rows for epoch in order for rows in epoch.split(18)]
    reference.finetuned_in_batches(parts, images, labels, batches, lr=0.05, decay=1e-4, warmup=3, schedule=schedule)
    assert_close(dict(fits[0].network.state_dict()), dict(parts.state_dict()), rtol=1e-3, atol=1e-4)


def test_another_image_stands_in_for_a_train_image_that_cannot_be_read(tmp_path, monkeypatch):
    """The replacement keeps its own label, with and without augmentation, and is counted."""
    own = draw_pictures(tmp_path / "own")
    for name in ("00.png", "01.png"):
        (own / "train" / "red" / name).write_bytes(b"not an image")
    shown, fits = [], []
    step, remove_checkpoint = TrainingLoop._step, TrainingLoop.remove_checkpoint

    def watched(self, number, images, labels):
        shown.append((images, labels))
        return step(self, number, images, labels)

    monkeypatch.setattr(TrainingLoop, "_step", watched)
    monkeypatch.setattr(TrainingLoop, "remove_checkpoint", lambda self: fits.append(self) or remove_checkpoint(self))
    tuned(own, tmp_path / "w", replace(SMALL, batch=(54,), augment=False, head="zero"))
    view = load_encoder(MODEL).preprocessing
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (view.mean, view.std))
    colours = torch.tensor([COLOURS[name] for name in sorted(COLOURS)], dtype=torch.float32) / 255
    for images, labels in shown:
        assert len(images) == 54
        seen = (images * std + mean).mean((2, 3))  # [54, 3]
        np.testing.assert_array_equal(torch.cdist(seen, colours).argmin(1), labels)
        assert seen.max(1).values.min() > 0.4  # none is black
    assert len(shown) == 2
    assert fits[0].training_state.unreadable == 2 * 2  # each once per epoch


def test_a_batch_without_readable_images_is_refused(tmp_path):
    own = draw_pictures(tmp_path / "own")
    for split in ("train", "val"):
        for path in (own / split).rglob("*.png"):
            path.write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"None of 8 images of a batch can be read: "):
        tuned(own, tmp_path / "w", replace(SMALL, augment=False, head="zero"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "--batch 8 at --size 32: try --batch 4"),
        ({"batch": (1,)}, "--batch 1 at --size 32: try a smaller --size"),
        ({"batch": (3,), "bn_stats": "update"}, "--batch 3 at --size 32: try a smaller --size"),
    ],
)
def test_too_little_memory_names_options_that_need_less(changes, words, pictures, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(FinetuneNetwork, "forward", full)  # no GPU is needed to say so
    with pytest.raises(ModelError, match=f"too little memory for {words}[.]"):
        tuned(pictures, tmp_path, replace(SMALL, head="zero", **changes))


@pytest.mark.parametrize("patience", [0, 1])
def test_too_little_memory_for_predictions_names_a_smaller_size(patience, pictures, tmp_path, monkeypatch):
    forward = FinetuneNetwork.forward

    def full(self, images):
        if self.training:
            return forward(self, images)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(FinetuneNetwork, "forward", full)
    with pytest.raises(ModelError, match="for predictions for 64 images at --size 32: try a smaller --size"):
        tuned(pictures, tmp_path, replace(SMALL, head="zero", epochs=1, patience=patience))


def test_too_few_images_for_the_processes_are_refused(pictures, tmp_path):
    class Nineteen:
        world_size, global_rank, device = 19, 0, torch.device("cpu")

    encoder = load_encoder(MODEL).at(32)
    settings = replace(SMALL, head="zero", bn_stats="update")
    split = open_dataset(f"folder:{pictures}", root=tmp_path).split("train")  # of 36 rows
    job = TrainJob(split, encoder.preprocessing, settings, settings.grid[0], 1, None, None, tmp_path, {}, 0)
    network = FinetuneNetwork(encoder, settings, HeadInit.zero(encoder, 3))
    words = (
        "has 36 images to train on, and a step of 19 processes needs at least 38: use fewer --devices, or more images"
    )
    with pytest.raises(DataError, match=words):
        TrainingLoop(network, job, fabric=Nineteen(), reporter=Notes())
