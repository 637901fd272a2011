"""Subsets and concatenations of splits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..core.files import digest_of
from ..core.groups import joined_groups
from .dataset import Reader, Split


@dataclass(frozen=True, eq=False)
class SubsetReader:
    """Reads a subset of the rows of another reader.

    Attributes:
        reader: Reader of all rows.
        rows: Row numbers of the subset ``[n]``.
    """

    reader: Reader
    rows: NDArray[np.int64]

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode a row as ``Reader.image`` does."""
        return self.reader.image(int(self.rows[row]))


@dataclass(frozen=True, eq=False)
class ConcatReader:
    """Concatenates the rows of several readers.

    Attributes:
        readers: Readers, in the order of their rows.
        ends: Row number after the last row of each reader.
    """

    readers: tuple[Reader, ...]
    ends: NDArray[np.int64]

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode a row as ``Reader.image`` does."""
        number = int(np.searchsorted(self.ends, row, side="right"))
        return self.readers[number].image(row - (int(self.ends[number - 1]) if number else 0))


def chosen_rows(split: Split, rows: NDArray[np.int64], *, name: str) -> Split:
    """Select ``rows`` of ``split``, in that order, as a split ``name``."""
    return replace(
        split,
        name=name,
        ids=tuple(split.ids[row] for row in rows.tolist()),
        labels=split.labels[rows],
        fingerprint=digest_of([split.fingerprint, rows.tolist()]),
        reader=SubsetReader(split.reader, rows),
        factors={factor: values[rows] for factor, values in split.factors.items()},
        groups=split.groups and tuple(split.groups[row] for row in rows.tolist()),
    )


def joined(parts: Sequence[Split]) -> Split:
    """Concatenate splits of one data set; the name joins their names with ``+``.

    Raises: DataError: If the splits number their classes differently.
    """
    first = parts[0]
    if any(part.classes != first.classes for part in parts):
        raise DataError(f"The splits of {first.dataset} number their classes differently.")
    return replace(
        first,
        name="+".join(part.name for part in parts),
        ids=tuple(one for part in parts for one in part.ids),
        labels=np.concatenate([part.labels for part in parts]),
        fingerprint=digest_of([part.fingerprint for part in parts]),
        reader=ConcatReader(tuple(part.reader for part in parts), np.cumsum([len(part) for part in parts])),
        factors={},
        groups=joined_groups(parts),
    )
