"""Pictures of a representation: the nearest neighbours of some images, and all of them on a plane."""

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
from ..data.dataset import Dataset
from .context import RunContext

_ROWS = 8192  # of the bank, compared together


@dataclass(frozen=True)
class GallerySettings:
    """How much is shown.

    Attributes:
        queries: test images whose neighbours are looked for.
        nearest: neighbours of each, among the training images.
        points: test images on the plane, at most.
        side: pixels of a thumbnail.
    """

    queries: int = 8
    nearest: int = 6
    points: int = 400
    side: int = 72


@dataclass(frozen=True, eq=False)
class Tile:
    """One image, small.

    Attributes:
        split, id: which.
        label: its class, by number.
        image: uint8 ``[side, side, 3]``, the middle of it.
    """

    split: str
    id: str
    label: int
    image: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class EncoderGallery:
    """How one encoder sees the images.

    Attributes:
        model, layer: whose features.
        queries: numbers of tiles.
        nearest: ``[q][k]`` numbers of tiles, nearest first by cosine.
        points: ``[p]`` numbers of tiles.
        maps: ``PCA``, ``t-SNE``, and ``UMAP`` where it is installed → ``[p, 2]`` places.
    """

    model: str
    layer: str
    queries: tuple[int, ...]
    nearest: tuple[tuple[int, ...], ...]
    points: tuple[int, ...]
    maps: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Gallery:
    """One data set as some encoders see it.

    Attributes:
        data: its spec.
        classes: names.
        tiles: every image that is shown, once.
        seen: one an encoder; the same queries and points for all.
    """

    data: str
    classes: tuple[str, ...]
    tiles: tuple[Tile, ...]
    seen: tuple[EncoderGallery, ...]


def gallery(records: Sequence[Result], *, context: RunContext, settings: GallerySettings | None = None) -> Gallery:
    """Look at cached features; nothing is extracted.

    Args:
        records: one an encoder and layer, all of one data set; they name the features.
        context: where these lie, and by which seed queries and maps are drawn.
        settings: how much is shown.

    Raises:
        DataError: if the features of a record are not in the cache, or the images have changed since or have
            several labels.
    """
    settings = settings or GallerySettings()
    dataset = context.open(records[0].data)
    require_one_label(
        dataset.split("test").labels,
        data=dataset.spec,
        what="a gallery",
        instead="Name another data set by --gallery, or none.",
    )
    found = [_cached(record, dataset, FeatureStore(context.workspace.features)) for record in records]
    album = _Album(dataset, settings.side)
    test = _shared_ids([features["test"] for features in found])
    drawn = generator(context.seed, "gallery", dataset.spec).permutation(len(test))
    queries = [test[i] for i in sorted(drawn[: settings.queries].tolist())]
    points = [test[i] for i in np.linspace(0, len(test) - 1, min(len(test), settings.points)).astype(int)]
    seen = []
    for record, features in zip(records, found, strict=True):
        at_test, bank = features["test"], features["train"]
        asked = np.asarray(_rows(at_test, queries).x)
        near = nearest_rows(asked, bank.x, k=min(settings.nearest, len(bank))).tolist()
        seen.append(
            EncoderGallery(
                model=record.model,
                layer=record.layer,
                queries=tuple(album.tile("test", name) for name in queries),
                nearest=tuple(tuple(album.tile("train", bank.ids[i]) for i in row) for row in near),
                points=tuple(album.tile("test", name) for name in points),
                maps=planes(np.asarray(_rows(at_test, points).x, np.float32), seed=context.seed),
            )
        )
    return Gallery(dataset.spec, dataset.classes, tuple(album.tiles), tuple(seen))


def _cached(record: Result, dataset: Dataset, store: FeatureStore) -> dict[str, Features]:
    """Features of the record's layer, by split.

    Raises: DataError: if a split is missing or has changed.
    """
    entries = {entry.key.split: entry for entry in store.entries() if _is_of(entry, record)}
    for split in ("train", "test"):
        if split not in entries or record.layer not in entries[split].layers:
            raise DataError(
                f"The features of {record.model} on {record.data} {split}, layer {record.layer}, are not in "
                "the cache any more. Run the same transferkit probe again with --force, then the report."
            )
        if entries[split].key.fingerprint != dataset.split(split).fingerprint:
            raise DataError(f"The images of {record.data} have changed since they were probed: probe again.")
    return {split: entries[split].features(record.layer) for split in ("train", "test")}


def _is_of(entry: Entry, record: Result) -> bool:
    key = entry.key
    names = (key.model, key.weights, key.data, entry.pooling(record.layer))
    wanted = (record.model, record.weights, record.data, record.pooling)
    return names == wanted and key.circumstances == dict(record.view)


def _shared_ids(parts: Sequence[Features]) -> list[str]:
    """Images that all encoders could read, in their order."""
    others = [set(part.ids) for part in parts[1:]]
    return [name for name in parts[0].ids if all(name in other for other in others)]


def _rows(features: Features, ids: Sequence[str]) -> Features:
    context = {name: row for row, name in enumerate(features.ids)}
    return features.rows(np.array([context[name] for name in ids], dtype=np.int64))


def nearest_rows(queries: NDArray[np.floating], bank: Matrix, *, k: int) -> NDArray[np.int64]:
    """The ``k`` rows of a bank nearest to each query by cosine, nearest first; the first of equal ones.

    For a few queries: it holds every similarity, and loads no network library.

    Args:
        queries: ``[q, d]``.
        bank: ``[n, d]``, n at least ``k``; read in pieces. A row of zeros is like nothing.
        k: neighbours.

    Returns: ``[q, k]`` row numbers.
    """
    unit = _unit(queries)
    parts = [unit @ _unit(rows).T for rows in chunks(bank, _ROWS)]
    return np.argsort(-np.concatenate(parts, axis=1), axis=1, kind="stable")[:, :k]


def _unit(x: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = x.astype(np.float64)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-300))


class _Album:
    """Thumbnails, each made once.

    Args:
        dataset: whose images.
        side: pixels.
    """

    def __init__(self, dataset: Dataset, side: int) -> None:
        self._dataset, self._side = dataset, side
        self._places: dict[tuple[str, str], int] = {}
        self._rows: dict[str, dict[str, int]] = {}
        self.tiles: list[Tile] = []

    def tile(self, split: str, name: str) -> int:
        """The number of an image's tile."""
        if (split, name) not in self._places:
            self._places[split, name] = len(self.tiles)
            self.tiles.append(self._made(split, name))
        return self._places[split, name]

    def _made(self, split: str, name: str) -> Tile:
        whole = self._dataset.split(split)
        if split not in self._rows:
            self._rows[split] = {known: row for row, known in enumerate(whole.ids)}
        row = self._rows[split][name]
        return Tile(split, name, int(whole.labels[row]), thumbnail(whole.reader.image(row), self._side))


def thumbnail(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The largest square in the middle of ``[h, w, 3]``, as ``[side, side, 3]``."""
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = Image.fromarray(np.ascontiguousarray(image[top : top + edge, left : left + edge]))
    return np.asarray(square.resize((side, side), Image.Resampling.BOX if edge >= side else 0))


def planes(x: NDArray[np.float32], *, seed: int) -> dict[str, NDArray[np.float64]]:
    """Rows on a plane, by each method that is installed.

    Args:
        x: ``[p, d]``, at least three rows.
        seed: of t-SNE and UMAP.

    Returns: method → ``[p, 2]``.
    Raises: DataError: for fewer rows.
    """
    if len(x) < 3:
        raise DataError(f"A map of {len(x)} images shows nothing: 3 or more are needed.")
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
    """Rows on their two directions of largest variance ``[p, 2]``; the largest loading is positive."""
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    two = np.zeros((2, x.shape[1]))
    two[: min(2, len(directions))] = directions[:2]
    signs = np.sign(two[np.arange(2), np.abs(two).argmax(axis=1)])
    return np.asarray(centred @ (two * np.where(signs == 0, 1, signs)[:, None]).T)
