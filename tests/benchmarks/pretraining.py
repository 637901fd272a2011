"""A training step of selfsupcon with resnet18, against lightly's MoCo modules in a plain loop; its parts.

Theirs runs as in their example: one pass over the batch, whose statistics query and key share. Ours cuts the
batch in two, so that they do not.
"""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn
from torchvision.models import resnet18

from tests.benchmarks.timing import median_ratio
from transferkit.core.devices import choose_compute
from transferkit.core.preprocessing import Preprocessing
from transferkit.data.arrays import from_arrays
from transferkit.data.dataset import Dataset
from transferkit.data.resize_and_crop import normalised
from transferkit.data.view_loading import ViewBatch
from transferkit.models.catalog import load_encoder
from transferkit.models.runs import Run
from transferkit.protocols.pretraining.job import Job, job_of
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.pretraining.trainer import build_optimizer
from transferkit.training.devices import launched_fabric
from transferkit.training.settings import TrainerConfig

SIZE, BATCH, QUEUE = 64, 64, 4096
IMAGES = 8 * BATCH
REPEATS = 25


def main() -> None:
    """Print the table."""
    compute = choose_compute()
    print(f"a step of selfsupcon, resnet18 at {SIZE}, batch {BATCH}, queue {QUEUE}, {compute}")
    job = our_job("selfsupcon")
    views = [torch.rand(BATCH, 3, SIZE, SIZE, device=compute.device) for _ in range(2)]
    batch = ViewBatch(np.arange(BATCH), (views[0], views[1]), {})
    for name, memory in (
        ("as in their example", torch.contiguous_format),
        ("channels last", torch.channels_last),
    ):
        step = lightly_step(views, memory)
        ratio = median_ratio(lambda: finished(job.trainer.step(0, batch)), step, repeats=REPEATS)
        print(f"{'against lightly, ' + name:42} {ratio}  {BATCH / ratio.subject_seconds:.0f} images/s")
    whole = median_ratio(
        lambda: all(finished(step.readings) for step in job.trainer.epoch(0)),
        lambda: [finished(job.trainer.step(number, batch)) for number in range(IMAGES // BATCH)],
        repeats=3,
    )
    print(f"{'an epoch with views, against steps alone':42} {whole}  not the model: {1 - whole.ratio:.0%}")


def our_job(loss: str) -> Job:
    """A run that is ready to step."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    split = from_arrays(images, np.arange(IMAGES) % 4, name="noise", split="train")
    precision = choose_compute().precision
    settings = PretrainSettings(
        loss=loss, model="random:resnet18", size=SIZE, batch=BATCH, queue_size=QUEUE, precision=precision
    )
    folder = Path(tempfile.gettempdir()) / "unused"
    fabric = launched_fabric(TrainerConfig(), precision=precision, folder=folder)
    dataset = Dataset("noise", {"train": split})
    return job_of(
        settings,
        dataset,
        Run(folder),
        encoder=load_encoder(settings.model),
        fabric=fabric,
        trainer_config=TrainerConfig(),
    )


def finished(readings: dict[str, Tensor]) -> float:
    """Wait for the device."""
    return float(readings["total"])


class MoCo(nn.Module):
    """The MoCo network of lightly's example."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*list(resnet18().children())[:-1])
        self.projection_head = MoCoProjectionHead(512, 512, 128)
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.projection_head_momentum)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection_head(self.backbone(x).flatten(start_dim=1))

    def forward_momentum(self, x: Tensor) -> Tensor:
        return self.projection_head_momentum(self.backbone_momentum(x).flatten(start_dim=1)).detach()


def lightly_step(views: list[Tensor], memory: torch.memory_format) -> Callable[[], float]:
    """Return a step of lightly's loop on the same views in 0 … 1, in the same precision, on the same device."""
    compute = choose_compute()
    model = MoCo().to(compute.device).to(memory_format=memory)
    criterion = NTXentLoss(memory_bank_size=(QUEUE, 128))
    optimizer = build_optimizer(model.parameters(), PretrainSettings())  # the same as ours

    def step() -> float:
        update_momentum(model.backbone, model.backbone_momentum, m=0.99)
        update_momentum(model.projection_head, model.projection_head_momentum, m=0.99)
        query, key = (normalised(view, Preprocessing(), white=1).contiguous(memory_format=memory) for view in views)
        with compute.autocast():
            loss = criterion(model(query), model.forward_momentum(key))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


if __name__ == "__main__":
    main()
