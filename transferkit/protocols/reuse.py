"""Compare before reuse: features of another network are never taken from the cache.

The key of an entry holds the weights and the name of the architecture. That proves that the network is the
same only where the name says how it is built, and only with the same versions of the libraries that build it.
A network made in Python is also its attributes, helper functions, base classes and hooks, which no digest of
its text and weights covers. So the first rows of an entry are computed again, and features that differ form
another entry.

A digest of rounded outputs in the key would find the same differences, but a value that lies at an edge of
the rounding falls on either side of it with another number of threads or another device, and then splits an
entry for no reason. A comparison with a tolerance has no such edges, and it also covers entries that were
made by earlier versions. Where two devices differ by more than the tolerance, features are computed once
more, which is never wrong.
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

ROWS = 32  # that are compared; as many as a batch on a CPU, so that there the very same batch is repeated

_TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}  # of a layer's largest value; what is below counts as rounding

Forward = Callable[[NDArray[np.int64], Sequence[str]], Mapping[str, NDArray[np.floating]]]
"""From rows and layers to layer → ``[b, d]``."""


@cache
def library_versions() -> str:
    """The versions of the libraries that build and run networks, as a line of text."""
    found = []
    for name in ("torch", "torchvision", "timm"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def is_named(encoder: Encoder) -> bool:
    """Whether its architecture's name alone says how it is built."""
    return encoder.spec == "pixels" or encoder.architecture.startswith(("torchvision:", "timm:"))


def keys_of_networks(key: EntryKey) -> Iterator[EntryKey]:
    """The key, and those of further networks of the same name with the same weights."""
    yield key
    number = 2
    while True:
        yield replace(key, architecture=f"{key.architecture} (network {number})")
        number += 1


def may_reuse(entry: Entry, layers: Sequence[str], forward: Forward, *, named: bool) -> bool:
    """Whether the features in the entry, if there are any, are those of the network that ``forward`` runs.

    Args:
        entry: whose key is the network's.
        layers: that are wanted.
        forward: computes features of rows again.
        named: whether the name of the network and the versions of the libraries prove that it is the same.
    """
    if not entry.begun or (named and library_versions() in entry.manifest.versions):
        return True
    if not _are_alike(entry, layers, forward):
        return False
    if named:
        entry.vouch(library_versions())
    return True


def _are_alike(entry: Entry, layers: Sequence[str], forward: Forward) -> bool:
    """Compare the layers that the entry has of those wanted, or all that it has where it has none of them."""
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
    """First stored row → the layers that begin there: one row, unless the entry is unfinished."""
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
