"""Runs whose losses cease to be numbers, or that the GPU has no room for; and what is left of them."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.protocols.pretraining.runs import draw_pictures, run, small, weights
from transferkit.core.errors import ModelError, UsageError
from transferkit.models.catalog import load_encoder
from transferkit.protocols.pretraining.pretrain import _memory_hint
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.pretraining.trainer import Trainer
from transferkit.training.settings import TrainerConfig

ANEW = r"with --no-resume, which replaces this run, or under another --name\.$"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


def spoil(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a weight NaN before the step of this number."""
    take = Trainer.step

    def spoilt(self, number, batch):
        if number == step:
            with torch.no_grad():
                next(self.pretext.encoder.parameters()).fill_(torch.nan)
        return take(self, number, batch)

    monkeypatch.setattr(Trainer, "step", spoilt)


@pytest.mark.parametrize(
    ("minutes", "kept"),
    [
        (10, 4),  # the end of the first epoch
        (0, 6),  # the last sound step
    ],
)
def test_a_loss_that_is_not_finite_stops_at_its_step_and_the_run_can_go_on(
    minutes, kept, pictures, tmp_path, monkeypatch
):
    settings = small(pictures, loss="ce")
    run(settings, tmp_path / "whole", name="r")
    trainer_config = TrainerConfig(device="cpu", workers=0, checkpoint_minutes=minutes)
    with monkeypatch.context() as patch:
        spoil(6, patch)
        words = r"^The loss total is nan at step 6\. Training diverged.*Lower --lr \(now 0\.02\).*"
        with pytest.raises(ModelError, match=words + ANEW):
            run(settings, tmp_path / "spoilt", name="r", trainer_config=trainer_config)
    assert all(value.isfinite().all() for value in weights(tmp_path / "spoilt", "r").values())
    encoder = load_encoder("run:r", runs=tmp_path / "spoilt" / "runs")
    assert encoder.module(torch.zeros(2, 3, 32, 32)).isfinite().all()

    seen = []
    take = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self, number, batch: seen.append(number) or take(self, number, batch))
    run(settings, tmp_path / "spoilt", name="r")
    assert seen == list(range(kept, 8))
    assert_close(weights(tmp_path / "spoilt", "r"), weights(tmp_path / "whole", "r"), rtol=0, atol=0)


def full(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    "place",
    [
        "lightning.fabric.Fabric.setup",
        "transferkit.losses.pretext.Pretext.forward",
        "transferkit.protocols.pretraining.monitor.Monitor.accuracy",
    ],
)
def test_too_little_memory_is_answered_with_what_takes_less(place, pictures, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(place, full)  # no GPU is needed to say so
        words = r"too little memory for --batch 8 at --size 32: try --batch 4 --accumulate 2, "
        with pytest.raises(ModelError, match=words + ANEW):
            run(small(pictures), tmp_path, name="r")
    less = small(pictures, batch=4, accumulate=2)
    if (tmp_path / "runs" / "r" / "run.json").exists():
        with pytest.raises(UsageError, match="started with other settings: batch was 8"):
            run(less, tmp_path, name="r")
    assert len(run(less, tmp_path, name="r", resume=False).history) == 2
    assert len(run(less, tmp_path, name="other").history) == 2


@pytest.mark.parametrize(
    ("changes", "processes", "less"),
    [
        ({"batch": 64, "bn_splits": 24}, 1, "a smaller --size, or fewer --bn-splits and a smaller --batch"),
        ({"batch": 96, "bn_splits": 24}, 1, "--batch 48 --accumulate 2"),
        ({"batch": 64, "bn_splits": 24}, 2, "--batch 32 --accumulate 2"),
        ({"batch": 64, "bn_splits": 24, "loss": "ce"}, 1, "--batch 32 --accumulate 2"),
        ({"batch": 7, "accumulate": 3, "bn_splits": 1}, 1, "--batch 3 --accumulate 6"),
        ({"batch": 3, "bn_splits": 1}, 1, "a smaller --size"),
    ],
)
def test_no_batch_is_suggested_that_would_be_refused(changes, processes, less):
    assert _memory_hint(PretrainSettings(**changes), processes=processes).startswith(f"{less}, with --no-resume")
