"""An encoder with everything that its training objective needs: heads, momentum encoder and queue."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..core.errors import ShapeError, UsageError
from ..core.settings import Fraction, PositiveFloat, PositiveInt, Settings
from .collectives import ALONE, Collectives, interleaving
from .heads import build_head
from .loss import UNLABELLED, BatchInputs, BatchTerm, QueueInputs, QueueTerm
from .momentum import momentum_copy, update_momentum
from .queue import LabelledQueue
from .sharding import normalise_in_shards
from .weighted import Objective


@dataclass(frozen=True)
class PretextSettings(Settings):
    """Hyperparameters of the contrastive terms; the defaults are the study's for ImageNet.

    Attributes:
        temperature: Temperature of every contrastive softmax.
        projection_dim: Length of a key.
        queue_size: Number of keys in the queue.
        ema_momentum: Momentum of the moving average that updates the key encoder.
        bn_splits: Number of parts, over all processes, into which a batch is split for batch normalisation if there is
            a key encoder; see ``Pretext``. The study's 24 processes correspond to 24.
    """

    temperature: PositiveFloat = 0.07
    projection_dim: PositiveInt = 128
    queue_size: PositiveInt = 64_000
    ema_momentum: Fraction = 0.999
    bn_splits: PositiveInt = 4

    def splits_per_process(self, objective: Objective, *, processes: int) -> int:
        """Return the number of separately normalised parts per process; 1 if no term has a queue."""
        queued = any(isinstance(term, QueueTerm) for term in objective.terms.values())
        return math.ceil(self.bn_splits / processes) if queued else 1


class Pretext(nn.Module):
    """The losses of one training step; the encoder is any network that maps images to ``[b, feature_dim]``.

    Each term of the objective has its own head. Terms with a queue share one momentum encoder and one queue,
    whose keys are the concatenated projections of these terms.

    **Batch normalisation leaks information.** If a query and its own key are normalised with statistics of the
    same images, these statistics distinguish the key from the keys of the queue, and the encoder learns this
    shortcut [1]. Therefore the batch of all processes is split into ``bn_splits`` shards that are normalised
    separately: shards of queries are consecutive, and shards of keys are interleaved, so that each shard of keys
    samples all shards of queries evenly. (MoCo shuffles at random; here the sampler has already shuffled.) A shard
    is within one process: if the number of processes divides ``bn_splits``, it does not change the result. A
    single shard does not prevent the leak, which is right only for encoders without batch statistics. Without a
    key encoder there is no leak, and the batch is not split.

    Shapes: ``b`` images of this process, ``s`` pixels per side.

    Args:
        encoder: the network that is trained and kept; its batch normalisations are changed to work by shards.
        objective: the loss.
        feature_dim: length of the encoder's features.
        n_classes: number of classes.
        settings: hyperparameters of the contrastive terms.
        collectives: communication with the other processes; ``b`` must be the same in all of them.

    Raises: UsageError: if a loss needs classes and there are fewer than 2.

    [1] He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020, section 3.3.
    """

    def __init__(
        self,
        encoder: nn.Module,
        objective: Objective,
        *,
        feature_dim: int,
        n_classes: int,
        settings: PretextSettings = PretextSettings(),
        collectives: Collectives = ALONE,
    ) -> None:
        super().__init__()
        if objective.supervised and n_classes < 2:
            raise UsageError(
                f"The loss {objective.supervised} needs at least 2 classes, but the data set has {n_classes}. "
                "Use selfsupcon, which needs no classes."
            )
        self.objective, self.settings, self.collectives = objective, settings, collectives
        self.feature_dim, self.n_classes = feature_dim, n_classes
        self.encoder = encoder
        self.heads = nn.ModuleDict(
            {
                name: build_head(term.head, feature_dim, projection_dim=settings.projection_dim, n_classes=n_classes)
                for name, term in objective.terms.items()
            }
        )
        self._queue_terms = {n: t for n, t in objective.terms.items() if isinstance(t, QueueTerm)}
        self._batch_terms = {n: t for n, t in objective.terms.items() if isinstance(t, BatchTerm)}
        if self._queue_terms:
            self.key_encoder = momentum_copy(encoder)
            for network in (encoder, self.key_encoder):
                normalise_in_shards(network, self.bn_splits)
            self.key_heads = nn.ModuleDict({name: momentum_copy(self.heads[name]) for name in self._queue_terms})
            self.queue = LabelledQueue(settings.queue_size, len(self._queue_terms) * settings.projection_dim)

    @property
    def bn_splits(self) -> int:
        """Number of parts that this process normalises separately."""
        return self.settings.splits_per_process(self.objective, processes=self.collectives.world_size)

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the losses of one step, and update the momentum encoder and the queue.

        Args:
            views: at least ``objective.views`` augmentations of the same images, each ``[b, 3, s, s]``.
            labels: ``[b]`` integers in ``0 … n_classes-1``; None or -1 for unknown classes. They are checked on
                their own device: checking labels on the CPU does not synchronise with the GPU.

        Returns: ``total``, the weighted sum, and the unweighted value of each term by name.
        Raises: ShapeError: if views or labels are missing, of different shapes, out of range or too few.
        """
        labels = self._checked(views, labels)
        used = views[: max((term.views for term in self._batch_terms.values()), default=1)]
        features = self._encoded(self.encoder, torch.cat(tuple(used))).split(len(labels))  # [b, d] per view
        losses = self._batch_losses(features, labels)
        if self._queue_terms:
            losses |= self._queue_losses(features[0], views[1], labels)
        total = torch.stack([weight * losses[name] for name, weight in self.objective.weights]).sum()
        return {"total": total, **{name: losses[name] for name in self.objective.terms}}

    def require_batch(self, size: int) -> None:
        """Check that a batch of ``size`` images per process is large enough and smaller than the queue.

        Raises:
            ShapeError: if it cannot be split into shards of at least 2 images.
            UsageError: if the queue is not larger than the batch of all processes.
        """
        if size < 2 * self.bn_splits:
            raise ShapeError(
                f"A batch of {size} images per process is too small: the loss {self.objective} needs "
                f"{2 * self.bn_splits} or more, 2 in each of {self.bn_splits} shards."
            )
        if self._queue_terms:
            self.queue.require_larger_than(size * self.collectives.world_size)

    def update_momentum(self) -> None:
        """Update the key encoder and its heads by one step of the moving average."""
        for name in self._queue_terms:
            update_momentum(self.key_heads[name], self.heads[name], momentum=self.settings.ema_momentum)
        update_momentum(self.key_encoder, self.encoder, momentum=self.settings.ema_momentum)

    def _batch_losses(self, features: tuple[Tensor, ...], labels: Tensor) -> dict[str, Tensor]:
        losses = {}
        for name, term in self._batch_terms.items():
            outputs = tuple(self.heads[name](view) for view in features[: term.views])
            losses[name] = term.loss(BatchInputs(outputs, labels, self.settings.temperature, self.collectives))
        return losses

    def _queue_losses(self, features: Tensor, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        self.update_momentum()
        keys = self._keys(images)
        before = self.queue.bank()
        self.queue.enqueue(keys, self.collectives.gather(labels))
        after = self.queue.bank()
        width, losses = self.settings.projection_dim, {}
        for index, (name, term) in enumerate(self._queue_terms.items()):
            inputs = QueueInputs(
                queries=self.heads[name](features),
                keys=self.collectives.own(keys)[:, index * width : (index + 1) * width],
                labels=labels,
                before=before.part(index, width),
                after=after.part(index, width),
                temperature=self.settings.temperature,
            )
            losses[name] = term.loss(inputs)
        return losses

    @torch.no_grad()
    def _keys(self, images: Tensor) -> Tensor:
        """Return the momentum projections of the images of all processes, in the order of the images."""
        all_images = self.collectives.gather(images)  # [world_size·b, 3, s, s]
        shards = self.bn_splits * self.collectives.world_size
        order = interleaving(len(all_images), shards, device=images.device)
        features = self._encoded(self.key_encoder, all_images[self.collectives.own(order)])  # [b, d]
        keys = torch.cat([head(features) for head in self.key_heads.values()], 1)  # [b, terms·p]
        return self.collectives.gather(keys)[order.argsort()]

    def _encoded(self, encoder: nn.Module, images: Tensor) -> Tensor:
        features: Tensor = encoder(images)
        if features.shape != (len(images), self.feature_dim):
            raise ShapeError(
                f"The encoder returned features {list(features.shape)} for {len(images)} images, "
                f"not [{len(images)}, {self.feature_dim}]. Give the encoder's feature_dim."
            )
        return features

    def _checked(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Check the shapes of views and labels, and return the labels on the images' device."""
        if len(views) < self.objective.views or len({view.shape for view in views}) > 1:
            raise ShapeError(
                f"The loss {self.objective} needs {self.objective.views} views of each image, of one shape; "
                f"the views have the shapes {[list(view.shape) for view in views]}."
            )
        images = views[0]
        self.require_batch(len(images))
        if labels is None:
            labels = torch.full((len(images),), UNLABELLED)
        if labels.shape != (len(images),):
            raise ShapeError(f"{len(images)} images need labels [{len(images)}], not {list(labels.shape)}.")
        if self.objective.supervised:
            self._require_classes(labels, self.objective.supervised)
        return labels.to(images.device, non_blocking=True)

    def _require_classes(self, labels: Tensor, loss: str) -> None:
        low, high = torch.stack(torch.aminmax(labels)).tolist()
        if low < 0 or high >= self.n_classes:
            raise ShapeError(
                f"The loss {loss} needs a class in 0 … {self.n_classes - 1} for every image, but the batch "
                f"has {low if low < 0 else high}. Leave out such images, or use selfsupcon, which needs no classes."
            )
