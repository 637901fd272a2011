"""Splits made of other splits: some of the rows, or the rows of several."""

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
    """Some rows of another reader.

    Attributes:
        reader: of the rows chosen from.
        rows: ``[n]`` their numbers.
    """

    reader: Reader
    rows: NDArray[np.int64]

    def image(self, row: int) -> NDArray[np.uint8]:
        """As ``Reader.image``."""
        return self.reader.image(int(self.rows[row]))


@dataclass(frozen=True, eq=False)
class ConcatReader:
    """The rows of several readers, one after another.

    Attributes:
        readers: in their order.
        ends: row number behind the last of each.
    """

    readers: tuple[Reader, ...]
    ends: NDArray[np.int64]

    def image(self, row: int) -> NDArray[np.uint8]:
        """As ``Reader.image``."""
        which = int(np.searchsorted(self.ends, row, side="right"))
        return self.readers[which].image(row - (int(self.ends[which - 1]) if which else 0))


def chosen_rows(split: Split, rows: NDArray[np.int64], *, name: str) -> Split:
    """The rows ``rows`` of ``split``, in that order, as a split called ``name``."""
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
    """The rows of several splits of one data set, called by their names joined with ``+``.

    Raises: DataError: if they number their classes differently.
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
