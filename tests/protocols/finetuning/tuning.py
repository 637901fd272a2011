"""A small real network on small real files."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from tests.protocols.pretraining.runs import Notes
from transferkit.core.preprocessing import Preprocessing
from transferkit.core.workspace import Workspace
from transferkit.data.dataset import Split
from transferkit.data.resize_and_crop import frame
from transferkit.models.encoder import Encoder
from transferkit.protocols.context import RunContext
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.protocols.finetuning.finetune import RunOptions, finetune
from transferkit.protocols.finetuning.settings import FinetuneSettings
from transferkit.training.settings import TrainerConfig

MODEL = "random:test_resnet"
SMALL = FinetuneSettings(lr=(0.02,), batch=(8,), epochs=2, size=32, precision="fp32", crop_min_area=0.5)
ALONE = TrainerConfig(device="cpu", workers=0)
WEIGHTS = "encoder.safetensors"


class Stop(Exception):
    """Raised by ``Stopping``."""


class Stopping(Notes):
    """Stops the training after so many images."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def advance(self, count: int = 1) -> None:
        super().advance(count)
        if self.advanced >= self.after:
            raise Stop


def tuned(pictures, workspace, settings=SMALL, *, reporter=None, run_options=None, model=MODEL):
    context = RunContext(Workspace(workspace, workspace / "data"), settings.seed, reporter or Notes())
    run_options = run_options or RunOptions(keep=True, yes=True)
    return finetune(
        [model], [f"folder:{pictures}"], settings, context=context, trainer_config=ALONE, run_options=run_options
    ).results


def kept(workspace: Path, file: str = WEIGHTS) -> dict[str, torch.Tensor]:
    """Return the weights that ``--keep`` stored, without the classifier."""
    (path,) = (workspace / "runs").glob(f"finetuned-*/{file}")
    return {name: tensor for name, tensor in load_file(path).items() if not name.startswith("fc.")}


def framed(split: Split, view: Preprocessing) -> torch.Tensor:
    """Return all images of a split, preprocessed without augmentation and normalised, ``[n, 3, s, s]``."""
    images = [torch.from_numpy(frame(split.reader.image(row), view).copy()) for row in range(len(split))]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (view.mean, view.std))
    return (torch.stack(images).float() / 255 - mean) / std


def everything(pictures: Path, encoder: Encoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all images except test, without augmentation, and their labels."""
    dataset = open_dataset(f"folder:{pictures}", root=pictures.parent)
    splits = [dataset.split(name) for name in ("train", "val")]
    images = torch.cat([framed(split, encoder.preprocessing) for split in splits])
    return images, torch.cat([torch.from_numpy(split.labels) for split in splits])


def zero_head(encoder: Encoder) -> nn.Linear:
    """Replace the classifier of the encoder by a zero one with three classes, and return it."""
    head = nn.Linear(encoder.module.num_features, 3)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    encoder.module.reset_classifier(0)
    return head
