"""Comparison before reuse: features of another network are never taken from the cache.

The key of an entry contains the weights and the name of the architecture. That identifies the network only if
the name determines how it is built, and only with the same versions of the libraries that build it. A network
made in Python also depends on its attributes, helper functions, base classes and hooks, which no digest of
its source and weights covers. So the first rows of an entry are recomputed, and features that differ form
another entry.

A digest of rounded outputs in the key would find the same differences, but a value at a rounding boundary may
be rounded differently with another number of threads or another device, which would split an entry for no
reason. A comparison with a tolerance avoids this, and it also covers entries that were written by earlier
versions. If two devices differ by more than the tolerance, features are recomputed, which is always correct.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray

from ..cache.entry import Entry
from ..cache.key import EntryKey
from ..core.errors import ModelError, UnknownNameError
from ..models.encoder import Encoder

ROWS = 32  # number of compared rows; equal to the batch size on a CPU, so that the same batch is repeated

_TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}  # relative to a layer's largest value; smaller differences are rounding

Forward = Callable[[NDArray[np.int64], Sequence[str]], Mapping[str, NDArray[np.floating]]]
"""Function of rows and layers that returns layer → features ``[b, d]``."""


@cache
def library_versions() -> str:
    """Return the versions of the libraries that build and run networks, as a line of text."""
    found = []
    for name in ("torch", "torchvision", "timm"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def is_named(encoder: Encoder) -> bool:
    """Return True if the name of the architecture determines how the network is built."""
    return encoder.spec == "pixels" or encoder.architecture.startswith(("torchvision:", "timm:"))


def keys_of_networks(key: EntryKey) -> Iterator[EntryKey]:
    """Yield the key, and then the keys of further networks with the same name and weights."""
    yield key
    number = 2
    while True:
        yield replace(key, architecture=f"{key.architecture} (network {number})")
        number += 1


def may_reuse(entry: Entry, layers: Sequence[str], forward: Forward, *, named: bool) -> bool:
    """Return True if the entry is empty, or its features are those of the network that ``forward`` runs.

    Args:
        entry: entry with the key of the network.
        layers: requested layers.
        forward: recomputes features of rows.
        named: True if the name of the network and the versions of the libraries identify it.
    """
    if not entry.begun or (named and library_versions() in entry.manifest.versions):
        return True
    if not _are_alike(entry, layers, forward):
        return False
    if named:
        entry.vouch(library_versions())
    return True


def _are_alike(entry: Entry, layers: Sequence[str], forward: Forward) -> bool:
    """Compare the requested layers that the entry has, or all its layers if it has none of them."""
    dims = entry.manifest.dims
    compared = [layer for layer in layers if layer in dims] or list(dims)
    most = min(ROWS, entry.batch)
    for start, names in _by_first_row(entry, compared, most).items():
        rows = np.arange(start, min(start + most, entry.rows))
        try:
            computed = forward(rows, names)
        except (UnknownNameError, ModelError):  # the network has no such layer
            return False
        for name in names:
            stored = entry.first_rows(name, most)
            if stored and not _is_close(computed[name][stored[1] - start], stored[0], entry.key.precision):
                return False
    return True


def _by_first_row(entry: Entry, layers: Sequence[str], most: int) -> dict[int, list[str]]:
    """Group layers by their first stored row; all have the same row, unless the entry is unfinished."""
    manifest, found = entry.manifest, dict[int, list[str]]()
    for layer in layers:
        if files := manifest.holding(layer):
            found.setdefault(int(manifest.shard(min(files))[0]), []).append(layer)
    return found


def _is_close(computed: NDArray[np.floating], stored: NDArray[np.floating], precision: str) -> bool:
    if computed.shape != stored.shape:
        return False
    if not stored.size:
        return True
    difference = np.abs(computed.astype(np.float64) - stored.astype(np.float64))
    largest = np.abs(stored.astype(np.float64)).max()
    return bool(difference.max() <= _TOLERANCE[precision] * largest)
