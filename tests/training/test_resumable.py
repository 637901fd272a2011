import pytest
import torch
from lightning.fabric import Fabric
from torch import nn

from transferkit.core.errors import CheckpointError, DiskSpaceError
from transferkit.training.checkpoints import Resumable
from transferkit.training.state import TrainingState


def training(folder, seed=0, **identity):
    torch.manual_seed(seed)
    module = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    return Resumable(module, optimizer, Fabric(accelerator="cpu", devices=1), folder, {"lr": 0.1} | identity)


def moved(one):
    one.module(torch.ones(4, 3)).sum().backward()
    one.optimizer.step()
    one.optimizer.zero_grad()


def test_it_goes_on_where_it_stopped(tmp_path):
    whole = training(tmp_path / "a")
    assert whole.restored().step == 0
    moved(whole)
    whole.save(TrainingState(step=1))
    again = training(tmp_path / "a", seed=5)
    assert again.restored().step == 1
    for one in (whole, again):
        moved(one)  # the momentum came back too
    assert torch.equal(whole.module.weight, again.module.weight)


def test_the_checkpoint_of_other_settings_is_refused(tmp_path):
    one = training(tmp_path)
    one.save(TrainingState())
    with pytest.raises(CheckpointError, match=r"training.safetensors was written with other settings\. Remove /"):
        training(tmp_path, lr=0.2).restored()


def test_a_recorded_training_leaves_nothing(tmp_path):
    one = training(tmp_path / "a")
    one.save(TrainingState())
    one.remove_checkpoint()
    assert not (tmp_path / "a").exists()
    one.remove_checkpoint()  # twice is as good


def test_room_is_asked_for_at_the_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr("transferkit.core.files.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1})())
    with pytest.raises(DiskSpaceError):
        training(tmp_path).restored()
