"""Figures of a representation: nearest neighbours of some images, and two-dimensional maps of many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..cache.entry import Entry
from ..cache.store import FeatureStore
from ..core.errors import DataError
from ..core.features import Features
from ..core.labels import require_one_label
from ..core.out_of_core import Matrix, chunks
from ..core.results import Result
from ..core.seeding import generator
from ..core.settings import PositiveInt, Settings
from ..data.dataset import Dataset
from .context import RunContext

_ROWS = 8192  # rows of the bank per chunk


@dataclass(frozen=True)
class GallerySettings(Settings, command_line=False):
    """Size of a gallery.

    Attributes:
        queries: number of test images with neighbours.
        nearest: number of neighbours per query, among the training images.
        points: maximum number of test images on the map.
        side: side of a thumbnail in pixels.
    """

    queries: PositiveInt = 8
    nearest: PositiveInt = 6
    points: PositiveInt = 400
    side: PositiveInt = 72


@dataclass(frozen=True, eq=False)
class Tile:
    """Thumbnail of one image.

    Attributes:
        split, id: split and id of the image.
        label: index of its class.
        image: centre crop, uint8 ``[side, side, 3]``.
    """

    split: str
    id: str
    label: int
    image: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class EncoderGallery:
    """Neighbours and maps of the images by the features of one encoder.

    Attributes:
        model, layer: encoder and layer of the features.
        queries: indices of the query tiles ``[q]``.
        nearest: indices of the neighbours' tiles ``[q][k]``, nearest first by cosine similarity.
        points: indices of the tiles on the map ``[p]``.
        maps: method → coordinates ``[p, 2]``: ``PCA``, ``t-SNE``, and ``UMAP`` if it is installed.
    """

    model: str
    layer: str
    queries: tuple[int, ...]
    nearest: tuple[tuple[int, ...], ...]
    points: tuple[int, ...]
    maps: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Galleries of several encoders for one data set.

    Attributes:
        data: spec of the data set.
        classes: names of the classes.
        tiles: all images that appear, each once.
        seen: galleries, one per encoder, with the same queries and points.
    """

    data: str
    classes: tuple[str, ...]
    tiles: tuple[Tile, ...]
    seen: tuple[EncoderGallery, ...]


def gallery(records: Sequence[Result], *, context: RunContext, settings: GallerySettings | None = None) -> Gallery:
    """Build a gallery from cached features; nothing is extracted.

    Args:
        records: records of one data set, one per encoder and layer, which identify the features.
        context: workspace of the cache, and seed of the queries and maps.
        settings: size of the gallery.

    Raises:
        DataError: if the features of a record are not in the cache, the images have changed since, or they
            have several labels.
    """
    settings = settings or GallerySettings()
    dataset = context.open(records[0].data)
    require_one_label(
        dataset.split("test").labels,
        data=dataset.spec,
        what="a gallery",
        instead="Choose another data set with --gallery, or none.",
    )
    found = [_cached(record, dataset, FeatureStore(context.workspace.features)) for record in records]
    album = _Album(dataset, settings.side)
    test = _shared_ids([features["test"] for features in found])
    drawn = generator(context.seed, "gallery", dataset.spec).permutation(len(test))
    queries = [test[i] for i in sorted(drawn[: settings.queries].tolist())]
    points = [test[i] for i in np.linspace(0, len(test) - 1, min(len(test), settings.points)).astype(int)]
    seen = []
    for record, features in zip(records, found, strict=True):
        test_features, bank = features["test"], features["train"]
        query_features = np.asarray(_rows(test_features, queries).x)
        near = nearest_rows(query_features, bank.x, k=min(settings.nearest, len(bank))).tolist()
        seen.append(
            EncoderGallery(
                model=record.model,
                layer=record.layer,
                queries=tuple(album.tile("test", name) for name in queries),
                nearest=tuple(tuple(album.tile("train", bank.ids[i]) for i in row) for row in near),
                points=tuple(album.tile("test", name) for name in points),
                maps=planes(np.asarray(_rows(test_features, points).x, np.float32), seed=context.seed),
            )
        )
    return Gallery(dataset.spec, dataset.classes, tuple(album.tiles), tuple(seen))


def _cached(record: Result, dataset: Dataset, store: FeatureStore) -> dict[str, Features]:
    """Return the cached features of the record's layer by split.

    Raises: DataError: if a split is missing or has changed.
    """
    entries = {entry.key.split: entry for entry in store.entries() if _is_of(entry, record)}
    for split in ("train", "test"):
        if split not in entries or record.layer not in entries[split].layers:
            raise DataError(
                f"The features of {record.model} on {record.data} {split}, layer {record.layer}, are not in "
                "the cache any more. Run transferkit probe again with --force, then the report."
            )
        if entries[split].key.fingerprint != dataset.split(split).fingerprint:
            raise DataError(
                f"The images of {record.data} have changed since they were probed: run transferkit probe again."
            )
    return {split: entries[split].features(record.layer) for split in ("train", "test")}


def _is_of(entry: Entry, record: Result) -> bool:
    key = entry.key
    names = (key.model, key.weights, key.data, entry.pooling(record.layer))
    wanted = (record.model, record.weights, record.data, record.pooling)
    return names == wanted and key.extraction_settings == dict(record.preprocessing)


def _shared_ids(parts: Sequence[Features]) -> list[str]:
    """Return the ids of images that have features of all encoders, in order."""
    others = [set(part.ids) for part in parts[1:]]
    return [name for name in parts[0].ids if all(name in other for other in others)]


def _rows(features: Features, ids: Sequence[str]) -> Features:
    row_of = {name: row for row, name in enumerate(features.ids)}
    return features.rows(np.array([row_of[name] for name in ids], dtype=np.int64))


def nearest_rows(queries: NDArray[np.floating], bank: Matrix, *, k: int) -> NDArray[np.int64]:
    """Return the ``k`` rows of a bank with the highest cosine similarity to each query, highest first.

    Of equal rows, the first comes first. The function stores all similarities, so it suits few queries.

    Args:
        queries: features of the queries ``[q, d]``.
        bank: features of the bank ``[n, d]`` with n ≥ k, read in chunks. A zero row has similarity 0.
        k: number of neighbours.

    Returns: Row indices ``[q, k]``.
    """
    unit = _unit(queries)
    parts = [unit @ _unit(rows).T for rows in chunks(bank, _ROWS)]
    return np.argsort(-np.concatenate(parts, axis=1), axis=1, kind="stable")[:, :k]


def _unit(x: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = x.astype(np.float64)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-300))


class _Album:
    """Thumbnails of a data set, each made once.

    Args:
        dataset: data set of the images.
        side: side of a thumbnail in pixels.
    """

    def __init__(self, dataset: Dataset, side: int) -> None:
        self._dataset, self._side = dataset, side
        self._index: dict[tuple[str, str], int] = {}
        self._rows: dict[str, dict[str, int]] = {}
        self.tiles: list[Tile] = []

    def tile(self, split: str, name: str) -> int:
        """Return the index of an image's tile."""
        if (split, name) not in self._index:
            self._index[split, name] = len(self.tiles)
            self.tiles.append(self._made(split, name))
        return self._index[split, name]

    def _made(self, split: str, name: str) -> Tile:
        whole = self._dataset.split(split)
        if split not in self._rows:
            self._rows[split] = {known: row for row, known in enumerate(whole.ids)}
        row = self._rows[split][name]
        return Tile(split, name, int(whole.labels[row]), thumbnail(whole.reader.image(row), self._side))


def thumbnail(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the largest centred square of an image ``[h, w, 3]``, resized to ``[side, side, 3]``."""
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = Image.fromarray(np.ascontiguousarray(image[top : top + edge, left : left + edge]))
    return np.asarray(square.resize((side, side), Image.Resampling.BOX if edge >= side else 0))


def planes(x: NDArray[np.float32], *, seed: int) -> dict[str, NDArray[np.float64]]:
    """Map rows to two dimensions, by each installed method.

    Args:
        x: features ``[p, d]``, at least three rows.
        seed: seed of t-SNE and UMAP.

    Returns: Method → coordinates ``[p, 2]``.
    Raises: DataError: for fewer than three rows.
    """
    if len(x) < 3:
        raise DataError(f"A map needs 3 images or more, not {len(x)}. Use a data set with more test images.")
    found = {"PCA": principal_plane(x)}
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(x) - 1) / 3)
    start = found["PCA"] / max(float(found["PCA"][:, 0].std()), 1e-12) * 1e-4
    tsne = TSNE(perplexity=perplexity, init=start.astype(np.float32), random_state=seed)
    found["t-SNE"] = np.asarray(tsne.fit_transform(x), np.float64)
    if find_spec("umap"):
        umap = import_module("umap")
        found["UMAP"] = np.asarray(umap.UMAP(random_state=seed).fit_transform(x), np.float64)
    return found


def principal_plane(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Project rows ``[p, d]`` onto their first two principal components ``[p, 2]``; the largest loading is positive."""
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)  # [p, d]
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    components = np.zeros((2, x.shape[1]))
    components[: min(2, len(directions))] = directions[:2]
    signs = np.sign(components[np.arange(2), np.abs(components).argmax(axis=1)])  # of the largest loadings [2]
    return np.asarray(centred @ (components * np.where(signs == 0, 1, signs)[:, None]).T)
