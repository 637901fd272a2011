"""Assembly of a pretraining run on this process: network, heads, data, devices, monitor."""

from dataclasses import dataclass

import torch
from lightning.fabric import Fabric
from torch import nn

from ...core.errors import DataError
from ...core.preprocessing import Preprocessing
from ...core.seeding import seed_of
from ...core.wording import counted
from ...data.dataset import Dataset, Split
from ...data.loading import default_workers
from ...losses.pretext import Pretext
from ...models.backbone import Backbone, backbone_of
from ...models.encoder import Encoder
from ...models.memory_format import channels_last
from ...models.pointwise_conv import pointwise_conv
from ...models.runs import Description, Run
from ...training.devices import collectives_of, compute_of
from ...training.settings import TrainerConfig
from .monitor import Monitor
from .settings import PretrainSettings
from .trainer import Trainer


@dataclass(frozen=True, eq=False)
class Job:
    """One process's part of a run.

    Attributes:
        run: the run in the workspace.
        description: description of the run, which is stored with it.
        settings: settings of the run.
        fabric: launched Fabric, with devices, precision, processes and loggers.
        backbone: the network that is trained and stored.
        trainer: updates the weights.
        monitor: k-NN monitor on held-out images; None without held-out images or with fewer than two classes.
    """

    run: Run
    description: Description
    settings: PretrainSettings
    fabric: Fabric
    backbone: Backbone
    trainer: Trainer
    monitor: Monitor | None

    @property
    def pretext(self) -> Pretext:
        """The network, its heads and the queue."""
        return self.trainer.pretext

    @property
    def classifier(self) -> nn.Linear | None:
        """The classification head, if the loss has one."""
        return next((head for head in self.pretext.heads.values() if isinstance(head, nn.Linear)), None)


def job_of(
    settings: PretrainSettings,
    dataset: Dataset,
    run: Run,
    *,
    encoder: Encoder,
    fabric: Fabric,
    trainer_config: TrainerConfig,
) -> Job:
    """Assemble a run; nothing is written.

    Args:
        settings: settings of the run; ``precision`` is not ``auto``.
        dataset: data set with the training split and the split of the monitor.
        run: the run in the workspace.
        encoder: encoder to train; its network is changed.
        fabric: launched Fabric.
        trainer_config: devices, data-loading processes and compilation.

    Raises:
        UsageError: if the loss needs classes and the data have none.
        DataError: for too few images, or a class without images.
        ModelError: if the network cannot be trained.
    """
    split = dataset.split("train")
    if loss := settings.objective.supervised:
        _require_every_class(split, loss)
    encoder = encoder.at(settings.size)  # a transformer of fixed input size is rebuilt for this one
    preprocessing = Preprocessing(
        resize=settings.test_resize,
        crop=settings.test_crop,
        fit=settings.test_fit,
        interpolation=settings.test_interpolation,
    )
    description = Description(
        architecture=encoder.architecture,
        preprocessing=preprocessing,
        source=f"{settings.loss} on {settings.data}, {counted(settings.epochs, 'epoch')} from {settings.model}",
        classes=split.classes,
        identity={
            **settings.to_json(),
            "augmentation": settings.augmentation.to_json(),
            "images": split.fingerprint,
            "weights": encoder.weights,
            "processes": fabric.world_size,
        },
        trained_on=(*encoder.trained_on, settings.data),
    )
    backbone = backbone_of(encoder)
    pointwise_conv(backbone.module)
    pretext = _pretext(backbone, split, settings, fabric)
    workers = default_workers() if trainer_config.workers is None else trainer_config.workers
    trainer = Trainer(pretext, split, settings, fabric=fabric, workers=workers)
    if trainer_config.compile:
        trainer.compile()
    monitor = None
    if (held_out := dataset.splits.get("val")) and len(split.classes) > 1:
        monitor = Monitor(split, held_out, preprocessing, compute_of(fabric, settings.precision), workers)
    return Job(run, description, settings, fabric, backbone, trainer, monitor)


def _pretext(backbone: Backbone, split: Split, settings: PretrainSettings, fabric: Fabric) -> Pretext:
    """Build the heads, with initial weights that depend only on the seed of the run."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(settings.seed, "heads") % 2**63)
        return Pretext(
            channels_last(backbone.module).train(),
            settings.objective,
            feature_dim=backbone.dim,
            n_classes=len(split.classes),
            settings=settings.pretext,
            collectives=collectives_of(fabric),
        )


def _require_every_class(split: Split, loss: str) -> None:
    counts = torch.bincount(torch.from_numpy(split.labels), minlength=len(split.classes))
    absent = [name for name, count in zip(split.classes, counts.tolist(), strict=True) if not count]
    if absent:
        raise DataError(
            f"{split.dataset} has no training image of the class {absent[0]!r}, which the loss {loss} "
            "needs. Add images, remove the class, or use --loss selfsupcon."
        )
