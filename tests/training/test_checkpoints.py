"""Training state on disk: the same bits back, and what is refused."""

import resource

import pytest
import torch
from lightning.fabric import Fabric
from torch import nn
from torch.testing import assert_close

from transferkit.core.errors import CheckpointError, DiskSpaceError
from transferkit.training.checkpoints import Resumable, load_tensors, restore_training, save_tensors, training_tensors
from transferkit.training.state import TrainingState


def trained(optimizer_type, *, steps: int, seed: int = 0):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.LazyLinear(4))
    module(torch.rand(2, 3, 8, 8))
    module.to(memory_format=torch.channels_last)
    optimizer = optimizer_type(module.parameters())
    step(module, optimizer, steps)
    return module, optimizer


def step(module, optimizer, steps: int) -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    for _ in range(steps):
        optimizer.zero_grad()
        module(images).square().sum().backward()
        optimizer.step()


OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_comes_back_goes_on_with_the_same_bits(name, tmp_path):
    module, optimizer = trained(OPTIMIZERS[name], steps=3)
    save_tensors(tmp_path / "x.safetensors", training_tensors(module, optimizer), {"step": 3})
    other, its_optimizer = trained(OPTIMIZERS[name], steps=1, seed=9)
    tensors, state = load_tensors(tmp_path / "x.safetensors")
    restore_training(tensors, other, its_optimizer, where=tmp_path)
    assert state == {"step": 3}
    step(module, optimizer, 2)
    step(other, its_optimizer, 2)
    assert_close(training_tensors(other, its_optimizer), training_tensors(module, optimizer), rtol=0, atol=0)
    momentum = next(iter(its_optimizer.state.values()))
    kept = [value for value in momentum.values() if torch.is_tensor(value) and value.ndim == 4]
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in kept)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    module, optimizer = trained(OPTIMIZERS["sgd"], steps=1)
    with pytest.raises(CheckpointError, match=r"is a checkpoint of another network.*--no-resume"):
        restore_training({"module.weight": torch.ones(3)}, module, optimizer, where=tmp_path)


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "flipped header", "stateless"])
def test_what_is_no_checkpoint_is_refused(damage, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.arange(1000.0)}, {"step": 1})
    data = path.read_bytes()
    match damage:
        case "absent":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[:-100])
        case "flipped header":
            path.write_bytes(data[:8] + b"}" + data[9:])
        case "stateless":
            save_file({"a": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match=r"is damaged, or no checkpoint of a run .*--no-resume"):
        load_tensors(path)


def test_a_disk_that_takes_no_more_leaves_the_last_checkpoint_intact(tmp_path):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.ones(10)}, {"step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(DiskSpaceError, match=r"The disk is full: .*x.safetensors"):
            save_tensors(path, {"a": torch.ones(100_000)}, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    tensors, state = load_tensors(path)
    assert state == {"step": 1}
    assert_close(tensors, {"a": torch.ones(10)})
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_tensor_that_shares_memory_is_kept_whole(tmp_path):
    whole = torch.arange(6.0)
    save_tensors(tmp_path / "x.safetensors", {"all": whole, "part": whole[2:4]}, {})
    tensors, _ = load_tensors(tmp_path / "x.safetensors")
    assert_close(tensors, {"all": whole, "part": whole[2:4]})


def test_the_same_weights_are_the_same_bytes(tmp_path):
    for i in range(20):
        save_tensors(tmp_path / f"{i}", {"a": torch.ones(3)}, {}, trained_on=("mini/leaves",))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


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
