"""The cell of a result: everything that determines its numbers, from a network, a cache entry or features."""

from collections.abc import Mapping
from typing import Any

from .. import __version__
from ..cache.entry import Entry
from ..core.features import Features
from ..core.files import digest_of
from ..core.results import Cell
from ..models.encoder import Encoder


def network_cell(
    encoder: Encoder,
    protocol: str,
    settings: Mapping[str, Any],
    *,
    data: str,
    fingerprint: str,
    layer: str,
    seed: int,
    pooling: str | None = None,
) -> Cell:
    """Return the cell of a result for which a network was trained or run itself.

    Args:
        encoder: the network, with its weights and preprocessing.
        protocol: name of the protocol.
        settings: all settings that affect the result.
        data: spec of the data set.
        fingerprint: digest of its images, labels and groups.
        layer: name of the layer.
        seed: seed of all random draws.
        pooling: pooling of the layer; by default that of the encoder.
    """
    return Cell(
        protocol=protocol,
        model=encoder.spec,
        weights=encoder.weights,
        data=data,
        fingerprint=fingerprint,
        layer=layer,
        pooling=encoder.pooling if pooling is None else pooling,
        preprocessing=encoder.preprocessing.to_json(),
        settings=settings,
        seed=seed,
        version=__version__,
    )


def entry_cell(
    entry: Entry, layer: str, protocol: str, settings: Mapping[str, Any], *, fingerprint: str, seed: int
) -> Cell:
    """Return the cell of a result from cached features.

    Args:
        entry: cache entry of any of the splits.
        layer: name of the layer.
        protocol: name of the protocol.
        settings: all settings that affect the result.
        fingerprint: digest of the images, labels and groups of all splits.
        seed: seed of all random draws.
    """
    key = entry.key
    return Cell(
        protocol=protocol,
        model=key.model,
        weights=key.weights,
        data=key.data,
        fingerprint=fingerprint,
        layer=layer,
        pooling=entry.pooling(layer),
        preprocessing=key.extraction_settings,
        settings=settings,
        seed=seed,
        version=__version__,
    )


def features_cell(splits: Mapping[str, Features], protocol: str, settings: Mapping[str, Any], *, seed: int) -> Cell:
    """Return the cell of a result from features in memory, which may have been changed since they were extracted.

    Args:
        splits: features of one model, layer and data set.
        protocol: name of the protocol.
        settings: all settings that affect the result.
        seed: seed of all random draws.
    """
    features = next(iter(splits.values()))
    return Cell(
        protocol=protocol,
        model=features.model,
        weights=features.weights,
        data=features.data,
        fingerprint=digest_of({name: split.content_digest() for name, split in splits.items()}),
        layer=features.layer,
        pooling=features.pooling,
        preprocessing=features.preprocessing,
        settings=settings,
        seed=seed,
        version=__version__,
    )
