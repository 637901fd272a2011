"""Several processes train one network: started by Fabric, by torchrun, and on a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.protocols.pretraining.runs import command, draw_pictures, run, small, weights
from transferkit.core.errors import UsageError
from transferkit.training.settings import TrainerConfig


def arguments(pictures: Path, workspace: Path) -> list[str]:
    """Return options without batch statistics, momentum or random crops, so that only communication can differ."""
    settings = small(pictures, model="random:test_vit", size=160, test_crop=160, test_resize=160, epochs=4)
    fields = settings.to_json() | {"crop_min_area": 1.0, "gray_prob": 0.0, "bn_splits": 2, "lr": 0.005}
    fields |= {"loss": "joint-supcon", "eval_every": 2, "batch": 4}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in fields.items() if value not in (None, [])]
    return [
        "pretrain",
        *options,
        "--name=r",
        f"--workspace={workspace}",
        "--device=cpu",
        "--devices=2",
        "--json",
    ]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


def finished(process: subprocess.Popen[str]) -> list[dict[str, float]]:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    history = json.loads(output)["history"]  # one process speaks, and the others are silent
    assert errors.count("epoch 1/4:") == 1
    assert "Warning" not in errors
    return history


@pytest.mark.slow
def test_two_processes_are_started_by_an_option_or_by_torchrun(pictures, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    fabric = command("transferkit", *arguments(pictures, tmp_path / "fabric"), env=environment)
    first = finished(fabric)
    program = str(Path(sys.executable).with_name("transferkit"))
    torchrun = command(
        *("torchrun", "--nproc-per-node=2", "--master-port=29517", program),
        *arguments(pictures, tmp_path / "torchrun"),
        env=environment,
    )
    second = finished(torchrun)
    assert [line["total"] for line in first] == pytest.approx([line["total"] for line in second], rel=1e-6)
    for file in ("training", "encoder"):
        ours, theirs = weights(tmp_path / "fabric", "r", file), weights(tmp_path / "torchrun", "r", file)
        assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    assert first[-1]["supcon"] < 0.92 * first[1]["supcon"]  # the queue is full from the second epoch on
    queue = weights(tmp_path / "fabric", "r")
    assert queue["module.queue.filled"] == 32  # 4 epochs of 4 steps of 2 × 4 images went round a ring of 32


def test_one_process_by_torchrun_needs_no_other(pictures, tmp_path, monkeypatch):
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run(small(pictures, epochs=1, warmup_epochs=0), tmp_path, name="r").process == 0


@pytest.mark.gpu
def test_the_gpu_learns_what_the_cpu_learns(pictures, tmp_path):
    settings = small(pictures, epochs=6, augment_on="device")
    on_gpu = run(settings, tmp_path / "gpu", name="r", trainer_config=TrainerConfig(device="cuda", workers=2))
    on_cpu = run(settings, tmp_path / "cpu", name="r")
    assert on_gpu.history[0]["total"] == pytest.approx(on_cpu.history[0]["total"], rel=0.02)
    assert on_gpu.history[-1]["knn"] > 0.85


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_on_a_gpu(precision, pictures, tmp_path):
    settings = small(pictures, epochs=6, precision=precision)
    trained = run(settings, tmp_path, name="r", trainer_config=TrainerConfig(device="cuda", workers=2))
    assert trained.history[-1]["knn"] > 0.85


@pytest.mark.gpu
def test_too_many_gpus_are_refused(pictures, tmp_path):
    with pytest.raises(UsageError, match="--devices 99 is more than the"):
        run(small(pictures), tmp_path, trainer_config=TrainerConfig(device="cuda", devices=99))


def test_a_gpu_that_is_not_there_is_refused(pictures, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UsageError, match="--device cuda is not available"):
        run(small(pictures), tmp_path, trainer_config=TrainerConfig(device="cuda"))
