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
    """Cached outputs of a layer for all images except those of test.

    Attributes:
        features: flattened outputs ``[n, d]``, one row per image.
        partial_forward: forward pass that starts after the layer.
    """

    features: Features
    partial_forward: PartialForward

    def of(self, ids: Sequence[str]) -> Tensor:
        """Return the activations ``[b, d]``, float32, of the images ``ids``."""
        rows = np.array([self._row_of_id[one] for one in ids], np.int64)
        return torch.from_numpy(np.asarray(self.features.x[rows], np.float32))

    @cached_property
    def _row_of_id(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.features.ids)}


def cached_activations(
    encoder: Encoder, splits: Sequence[Split], settings: FinetuneSettings, context: RunContext
) -> CachedActivations | None:
    """Return the outputs of the layer ``freeze_through``, if ``extract --pooling whole --dtype float32`` cached them.

    Args:
        encoder: encoder at its input size; its network is not changed.
        splits: all splits except test.
        settings: settings with the last frozen layer.
        context: workspace and reporter.

    Returns:
        The activations; or None if images are augmented, the whole network is trained, the cache lacks
        images, or the forward pass cannot start after that layer (then with a note).
    """
    if settings.augment or settings.mixup or not settings.freeze_through:
        return None
    (layer, *_) = resolve_layers(encoder, [settings.freeze_through], None)
    extraction = ExtractSettings(
        layers=(layer.name,), pooling=WHOLE, size=encoder.preprocessing.crop, dtype="float32", precision="fp32"
    )
    extractor = Extractor(encoder, extraction, store=FeatureStore(context.workspace.features))
    entries = [extractor.open(split) for split in splits]
    if any(entry.missing for entry in entries):
        return None
    features = concatenate([entry.entry.features(layer.name) for entry in entries], split="fitted")
    if features.skipped:
        return None
    partial = partial_forward(encoder, layer.name)
    if partial is None:
        context.reporter.note(
            f"The forward pass of {encoder.spec} cannot start after {layer.name}: the whole network is run on images."
        )
        return None
    return CachedActivations(features, partial)
