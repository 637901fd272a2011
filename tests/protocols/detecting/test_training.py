"""One training: what it refuses, and what it says of too little memory."""

from dataclasses import replace

import pytest
import torch

from tests.protocols.detecting.scenes import MODEL, SMALL, detected, eight
from tests.protocols.pretraining.runs import Notes
from transferkit.core.errors import ModelError, UsageError
from transferkit.models.catalog import load_encoder
from transferkit.protocols.detecting import training
from transferkit.protocols.detecting.grounding import detector_of
from transferkit.protocols.detecting.training import Course, Training


def test_processes_must_be_able_to_share(monkeypatch, tmp_path):
    class Two:
        world_size, global_rank, device = 2, 0, torch.device("cpu")

    def begun(settings):
        detector = detector_of(load_encoder(MODEL), SMALL, 6)
        course = Course(eight().split("train"), settings, tmp_path, {}, 0)
        return Training(detector, course, fabric=Two(), reporter=Notes())

    with pytest.raises(UsageError, match="2 processes cannot share a --batch of 3: give a multiple of 2"):
        begun(replace(SMALL, batch=3))
    with pytest.raises(UsageError, match="sync over several processes needs GPUs"):
        begun(replace(SMALL, batch_statistics="sync"))


def out_of_memory(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (4, r"--batch 4 at --sides 64: try --batch 2 --lr 0\.005\."),
        (1, r"--batch 1 at --sides 64: try smaller --sides\."),
    ],
)
def test_too_little_memory_is_answered_with_what_takes_less(batch, words, monkeypatch, tmp_path):
    monkeypatch.setattr(Training, "_step", out_of_memory)  # no GPU is needed to say so
    with pytest.raises(ModelError, match=f"The GPU has too little memory for {words}"):
        detected(monkeypatch, tmp_path, eight(), replace(SMALL, batch=batch))


def test_half_a_batch_is_one_that_the_processes_can_share(tmp_path):
    class Asked(Training):
        def __init__(self, batch, processes):
            self.course = Course(eight().split("train"), replace(SMALL, batch=batch), tmp_path, {}, 0)
            self.fabric = type("Processes", (), {"world_size": processes})

    assert Asked(6, 2)._less == "--batch 2 --lr 0.00333333"
    assert Asked(4, 4)._less == "smaller --sides"


def test_too_little_memory_for_the_search_is_answered_likewise(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "_found", out_of_memory)
    with pytest.raises(ModelError, match="memory for boxes at --test-side 64: try a smaller --test-side"):
        detected(monkeypatch, tmp_path, eight(), replace(SMALL, score=0.0))
