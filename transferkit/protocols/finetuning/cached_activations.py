"""Cached outputs of a layer in place of images, where nothing below that layer is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ...cache.store import FeatureStore
from ...core.features import Features, concatenate
from ...data.dataset import Split
from ...models.encoder import Encoder
from ...models.layers import resolve_layers
from ...models.partial_forward import PartialForward, partial_forward
from ...models.pooling import WHOLE
from ..context import RunContext
from ..extract import Extractor
from ..settings import ExtractSettings
from .settings import FinetuneSettings


@dataclass(frozen=True, eq=False)
class CachedActivations:
    """A layer's output for every image that may be fitted.

    Attributes:
        features: ``[n, d]``, each row a flattened output.
        partial_forward: where the network takes them.
    """

    features: Features
    partial_forward: PartialForward

    def of(self, ids: Sequence[str]) -> Tensor:
        """``[b, d]`` float32 of the images ``ids``."""
        rows = np.array([self._places[one] for one in ids], np.int64)
        return torch.from_numpy(np.asarray(self.features.x[rows], np.float32))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {one: context for context, one in enumerate(self.features.ids)}


def cached_maps(
    encoder: Encoder, splits: Sequence[Split], settings: FinetuneSettings, context: RunContext
) -> CachedActivations | None:
    """The maps of ``train_from`` where ``extract --pooling whole --dtype float32`` has cached them.

    None where they are not wanted (images are augmented, or all of the network is trained), not there, or do
    not have a row for every image; and where the network cannot be entered behind that layer, which is told.

    Args:
        encoder: at the size that is shown; its network is as it was.
        splits: that may be fitted.
        settings: say from which layer on is trained.
        context: the workspace, and who is told.
    """
    if settings.augment or settings.mixup or not settings.train_from:
        return None
    (layer, *_) = resolve_layers(encoder, [settings.train_from], None)
    asked = ExtractSettings(
        layers=(layer.name,), pooling=WHOLE, size=encoder.view.crop, dtype="float32", precision="fp32"
    )
    extractor = Extractor(encoder, asked, store=FeatureStore(context.workspace.features))
    entries = [extractor.open(split) for split in splits]
    if any(entry.missing for entry in entries):
        return None
    features = concatenate([entry.entry.features(layer.name) for entry in entries], split="fitted")
    if features.skipped:
        return None
    way = partial_forward(encoder, layer.name)
    if way is None:
        context.reporter.note(f"{encoder.spec} cannot be entered behind {layer.name}: its images are run whole.")
        return None
    return CachedActivations(features, way)
