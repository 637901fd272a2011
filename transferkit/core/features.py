"""Features of one layer for one split, the value that the cache returns and the probes take."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import NonFiniteError, ShapeError
from .groups import Groups, joined_groups
from .labels import class_numbers, require_labels
from .out_of_core import Matrix, chunks, stacked

UNNAMED = "array"
"""Model and data set of features that name neither, such as plain arrays."""

_CHUNK_ROWS = 8192  # rows that are checked at a time


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one encoder at one layer for the readable rows of one split.

    Shapes: ``n`` samples, ``d`` features, ``c`` classes.

    Attributes:
        x: ``[n, d]`` floating point, finite; an array, or ``Blocks`` if it is larger than memory.
            ``core.out_of_core.chunks`` iterates over either, ``numpy.asarray`` converts either to an array.
        labels: ``[n]`` integers in ``0 … c-1``, of any integer type or bool, stored as int64; or ``[n, c]`` if a
            row may have several classes, see ``core.labels``.
        ids: ``[n]`` stable names of the samples, in the order of the rows.
        classes: ``[c]`` names; a class may have no row.
        model, data, split, layer, pooling: origin of the features, as in the cache key.
        weights: digest of the encoder's weights.
        fingerprint: digest of the split's content.
        skipped: ``(id, reason)`` of each row that is left out because its file is unreadable.
        preprocessing: all settings of the extraction that affect the features: transform, dtype, precision, …
        targets: name → further targets of each row: numbers ``[n, t]``, or categories ``[n]``.
        augmented: features ``[n, d]`` of augmented views of the same rows, for probes that train on several views.
        groups: ``[n]`` name of the group of each row, the same in every split; rows of one group (patches of
            one photograph, images of one patient) are not independent. None if each row is its own group.
    """

    x: Matrix
    labels: NDArray[np.int64]
    ids: Sequence[str]
    classes: tuple[str, ...]
    model: str = UNNAMED
    data: str = UNNAMED
    split: str = "all"
    layer: str = "last"
    pooling: str = "none"
    weights: str = ""
    fingerprint: str = ""
    skipped: tuple[tuple[str, str], ...] = field(default=())
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, NDArray] = field(default_factory=dict)
    augmented: tuple[Matrix, ...] = ()
    groups: Groups = None

    def __repr__(self) -> str:
        n, d = self.x.shape
        size = f"[{n}, {d}] {self.x.dtype}, {len(self.classes)} classes"
        return f"<Features {size}: {self.model} {self.layer} on {self.data} {self.split}>"

    def __post_init__(self) -> None:
        n = len(self.ids)
        object.__setattr__(self, "labels", class_numbers(self.labels))
        if self.x.ndim != 2 or self.x.shape[0] != n or self.labels.shape[:1] != (n,) or self.labels.ndim > 2:
            raise ShapeError(
                f"Features of {n} ids need x [n, d] and labels [n] or [n, c], "
                f"not {list(self.x.shape)} and {list(self.labels.shape)}."
            )
        require_labels(self.labels, len(self.classes))
        if any(view.shape != self.x.shape for view in self.augmented):
            shapes = [list(view.shape) for view in self.augmented]
            raise ShapeError(f"Augmented views of {list(self.x.shape)} features need that shape, not {shapes}.")
        if invalid := [name for name, value in self.targets.items() if len(value) != n]:
            raise ShapeError(f"The target {invalid[0]!r} needs {n} rows, not {len(self.targets[invalid[0]])}.")
        if self.groups is not None and len(self.groups) != n:
            raise ShapeError(f"Features of {n} rows need as many groups, not {len(self.groups)}.")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Number of features per row, ``d``."""
        return int(self.x.shape[1])

    def content_digest(self) -> str:
        """Return a digest of all values: features, labels, ids, groups, targets and augmented views."""
        arrays: dict[str, Any] = {"x": self.x, "labels": self.labels, **self.targets}
        arrays |= {f"view {number}": view for number, view in enumerate(self.augmented)}
        found = hashlib.sha256(repr((self.ids, self.classes, self.groups)).encode())
        for name, array in arrays.items():
            found.update(f"{name} {array.shape} {array.dtype}".encode())
            for rows in chunks(array, _CHUNK_ROWS):
                found.update(np.ascontiguousarray(rows).tobytes())
        return found.hexdigest()

    def rows(self, index: NDArray[np.integer | np.bool_]) -> "Features":
        """Return the features of the rows that ``index`` selects, by number or as a mask ``[n]``."""
        numbers = np.arange(len(self))[index]
        fingerprint = hashlib.sha256(self.fingerprint.encode() + numbers.tobytes()).hexdigest()
        return replace(
            self,
            x=self.x[numbers],
            labels=self.labels[numbers],
            ids=[self.ids[i] for i in numbers.tolist()],
            fingerprint=fingerprint,
            targets={name: value[numbers] for name, value in self.targets.items()},
            augmented=tuple(view[numbers] for view in self.augmented),
            groups=None if self.groups is None else tuple(self.groups[i] for i in numbers.tolist()),
        )


def concatenate(parts: Sequence[Features], *, split: str) -> Features:
    """Concatenate the rows of several splits of the same encoder, data and layer."""
    return replace(
        parts[0],
        x=stacked([part.x for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        ids=[name for part in parts for name in part.ids],
        split=split,
        fingerprint="+".join(part.fingerprint for part in parts),
        skipped=tuple(row for part in parts for row in part.skipped),
        targets={name: np.concatenate([part.targets[name] for part in parts]) for name in parts[0].targets},
        augmented=tuple(stacked(views) for views in zip(*(part.augmented for part in parts), strict=True)),
        groups=joined_groups(parts),
    )


def require_finite(x: Matrix, *, what: str, ids: Sequence[str]) -> None:
    """Raise an error if a value is NaN or infinite.

    Raises: NonFiniteError: if there is one; the message names ``what`` and the id of the first row.
    """
    non_finite = [~np.isfinite(rows).all(axis=1) for rows in chunks(x, _CHUNK_ROWS)]
    if any(part.any() for part in non_finite):
        rows = np.flatnonzero(np.concatenate(non_finite))
        raise NonFiniteError(
            f"{what}: {len(rows)} of {len(x)} rows are not finite, first {ids[rows[0]]!r}. "
            "If the values are too large for float16, use --dtype float32; "
            "if the network itself overflows, --precision fp32."
        )
