"""Small runs on small pictures: a fraction of a second each."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from transferkit.core.workspace import Workspace
from transferkit.protocols.context import RunContext
from transferkit.protocols.pretraining.pretrain import Trained, pretrain
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.training.settings import TrainerConfig

COLOURS = {"blue": (40, 60, 200), "green": (50, 170, 60), "red": (200, 50, 40)}
COUNTS = {"train": 12, "val": 6, "test": 2}


class Notes:
    """A reporter that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.advanced = 0

    def note(self, message: str) -> None:
        self.notes.append(message)

    def task(self, label: str, total: int, unit: str) -> "Notes":
        return self

    def advance(self, count: int = 1) -> None:
        self.advanced += count

    def foresee(self, outlook: str) -> None:
        pass

    def __enter__(self) -> "Notes":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def draw_pictures(root: Path) -> Path:
    """Noisy squares of three colours, so that a class is easy to learn."""
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for name, colour in COLOURS.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.array(colour) + rng.normal(0, 25, (20, 24, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:02}.png")
    return root


def small(root: Path, **changes: Any) -> PretrainSettings:
    """Return settings with four steps per epoch and two epochs."""
    settings = PretrainSettings(
        data=f"folder:{root}",
        model="random:test_resnet",
        epochs=2,
        batch=8,
        size=32,
        test_resize=32,
        test_crop=32,
        lr=0.02,
        warmup_epochs=0.5,
        queue_size=32,
        bn_splits=2,
        gray_prob=0.0,
        eval_every=1,
        precision="fp32",
    )
    return replace(settings, **changes)


def run(
    settings: PretrainSettings,
    workspace: Path,
    *,
    reporter: Any = None,
    trainer_config: TrainerConfig = TrainerConfig(device="cpu", workers=0),  # noqa: B008
    **options: Any,
) -> Trained:
    context = RunContext(Workspace(workspace, workspace / "data"), reporter=reporter or Notes())
    return pretrain(settings, context=context, trainer_config=trainer_config, **options)


def weights(workspace: Path, name: str, file: str = "training") -> dict[str, torch.Tensor]:
    return load_file(workspace / "runs" / name / f"{file}.safetensors")


def command(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A program of this environment, such as ``transferkit``, in a process of its own."""
    program = Path(sys.executable).with_name(arguments[0])
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([str(program), *arguments[1:]], text=True, **pipes, **options)
