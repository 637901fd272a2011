"""Images a second of a fine-tuning step, against a plain loop: same network, batch and augmented images."""

import tempfile
from pathlib import Path

import torch
from torch import nn

from tests.benchmarks.semantic_probe import drawn
from tests.benchmarks.timing import median_ratio
from transferkit.core.progress import SILENT
from transferkit.models.catalog import load_encoder
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.protocols.finetuning.head_init import HeadInit
from transferkit.protocols.finetuning.network import FinetuneNetwork
from transferkit.protocols.finetuning.settings import FinetuneSettings, GridPoint
from transferkit.protocols.finetuning.training import TrainingLoop, TrainJob
from transferkit.training.devices import launched_fabric
from transferkit.training.settings import TrainerConfig

MODEL, SIZE, BATCH, STEPS, REPEATS = "random:resnet18", 64, 32, 6, 5


def main() -> None:
    """Print the ratio; both sides load the same crops with the same reader."""
    with tempfile.TemporaryDirectory() as folder:
        split = open_dataset(f"folder:{drawn(Path(folder))}", root=Path(folder)).split("train")
        settings = FinetuneSettings(head="zero", bn_stats="update", precision="fp32")
        encoder = load_encoder(MODEL).at(SIZE)
        network = FinetuneNetwork(encoder, settings, HeadInit.zero(encoder, len(split.classes)))
        setting = GridPoint(0.01, BATCH, 1e-4)
        job = TrainJob(split, encoder.preprocessing, settings, setting, 99, None, None, Path(folder, "ft"), {}, 0)
        fabric = launched_fabric(TrainerConfig(device="cpu"), precision="fp32", folder=Path(folder))
        fit = TrainingLoop(network, job, fabric=fabric, reporter=SILENT)
        fit.model.train()

        def ours() -> None:
            for number, (images, labels, _) in zip(range(STEPS), fit._batches(0), strict=False):
                fit._step(number, images, labels)

        ratio = median_ratio(ours, plain(fit, len(split.classes)), repeats=REPEATS)
        print(f"{MODEL}, {SIZE} pixels, batch {BATCH}, {STEPS} steps, against a plain loop: {ratio}")


def plain(fit: TrainingLoop, n_classes: int):
    """The usual loop over the same loader: zero_grad, loss, backward, step."""
    network = load_encoder(MODEL).module
    network.fc = nn.Linear(network.fc.in_features, n_classes)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def loop() -> None:
        for _, (images, labels, _) in zip(range(STEPS), fit._batches(0), strict=False):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()

    return loop
