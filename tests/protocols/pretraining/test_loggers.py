"""Output of the loggers, and when they are opened and closed."""

import sys
import time
from pathlib import Path

import pytest

from tests.protocols.pretraining.runs import draw_pictures, run, small
from transferkit.core.errors import MissingExtraError, ShapeError, UnknownNameError, UsageError
from transferkit.training.settings import TrainerConfig


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_csv_logger_writes_the_steps(pictures, tmp_path):
    trainer_config = TrainerConfig(device="cpu", workers=0, logger=("csv",))
    run(small(pictures, epochs=4), tmp_path, name="r", trainer_config=trainer_config)
    (table,) = (tmp_path / "runs" / "r" / "csv").rglob("metrics.csv")
    lines = table.read_text().splitlines()
    assert {"total", "ce", "selfsupcon", "lr", "knn", "step"} <= set(lines[0].split(","))
    assert len(lines) > 2


@pytest.mark.parametrize(("logger", "file"), [("tensorboard", "events.out.tfevents.*"), ("wandb", "run-*.wandb")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the loggers import
@pytest.mark.parametrize("resume", [None, False])
def test_the_other_loggers_write_theirs(resume, logger, file, offline, pictures, tmp_path):
    if resume is False:  # what was there is cleared away, and not what is being written
        run(small(pictures), tmp_path, name="r")
    trainer_config = TrainerConfig(device="cpu", workers=0, logger=(logger,))
    run(small(pictures), tmp_path, name="r", trainer_config=trainer_config, resume=resume)
    folder = tmp_path / "runs" / "r"
    until = time.monotonic() + 60  # wandb writes from a process of its own
    while not any(path.stat().st_size > 100 for path in folder.rglob(file)):
        assert time.monotonic() < until, [str(path) for path in folder.rglob("*")]
        time.sleep(0.1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_that_is_refused_opens_no_logger(offline, pictures, tmp_path):
    import wandb

    trainer_config = TrainerConfig(device="cpu", workers=0, logger=("csv", "wandb"))
    with pytest.raises(ShapeError, match="A batch of 3 images"):
        run(small(pictures, batch=3), tmp_path, name="r", trainer_config=trainer_config)
    assert wandb.run is None
    run(small(pictures), tmp_path, name="r")
    with pytest.raises(UsageError, match="other settings: lr was"):
        run(small(pictures, lr=0.5), tmp_path, name="r", trainer_config=trainer_config)
    assert wandb.run is None
    assert not [*(tmp_path / "runs" / "r").glob("csv"), *(tmp_path / "runs" / "r").glob("wandb")]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_loggers_are_closed_however_a_run_ends(offline, pictures, tmp_path, monkeypatch):
    import wandb

    def broken(*_):
        assert wandb.run is not None
        raise RuntimeError("broken")

    monkeypatch.setattr("transferkit.losses.pretext.Pretext.forward", broken)
    trainer_config = TrainerConfig(device="cpu", workers=0, logger=("wandb",))
    with pytest.raises(RuntimeError, match="broken"):
        run(small(pictures), tmp_path, name="r", trainer_config=trainer_config)
    assert wandb.run is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("refused", ["login", "init"])
def test_weights_and_biases_may_refuse(refused, offline, pictures, tmp_path, monkeypatch):
    import wandb

    def refuse(*_, **__):
        raise wandb.errors.UsageError("api_key not configured (no-tty).\nmore")

    monkeypatch.setattr(wandb, refused, refuse)
    run(small(pictures), tmp_path, name="r")
    trainer_config = TrainerConfig(device="cpu", workers=0, logger=("wandb",))
    with pytest.raises(UsageError, match=r"cannot log in \(api_key not configured \(no-tty\)\.\)\. Run"):
        run(small(pictures), tmp_path, name="r", trainer_config=trainer_config, resume=False)
    assert (tmp_path / "runs" / "r" / "training.safetensors").exists() == (refused == "login")


def test_a_logger_that_is_not_installed(pictures, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", False)
    with pytest.raises(MissingExtraError, match=r"for --logger wandb.*transferkit\[loggers\]"):
        run(small(pictures), tmp_path, trainer_config=TrainerConfig(device="cpu", logger=("wandb",)))


def test_an_unknown_logger(pictures, tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'wandb'"):
        run(small(pictures), tmp_path, trainer_config=TrainerConfig(device="cpu", logger=("wandbb",)))
