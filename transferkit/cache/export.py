"""Export of features to NumPy and Parquet files."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import MissingExtraError, UsageError
from ..core.files import atomic_path
from .entry import Entry


def export_arrays(entry: Entry, layers: Sequence[str], path: Path) -> int:
    """Write ``x`` ``[n, d]``, ``labels`` ``[n]`` and ``ids`` ``[n]`` of the readable rows.

    Several layers are written under their own names instead of ``x``, and only with rows that all of them have.

    Args:
        entry: entry to read.
        layers: one or more complete layers.
        path: file ending in ``.npz`` or ``.parquet`` (one row per sample; features are lists of fixed size).

    Returns: number of written rows.

    Raises:
        UsageError: if the extension is another one, or there is no layer, or one is named ``labels`` or ``ids``.
        MissingExtraError: if pyarrow is needed and not installed.
        CacheError: if a layer is not complete.
        DamagedError: if a byte differs from what was written.
    """
    if path.suffix not in _WRITERS:
        raise UsageError(
            f"Features cannot be written to {path.name!r}: the extension must be one of {', '.join(_WRITERS)}."
        )
    if not layers or {"labels", "ids"} & set(layers):
        raise UsageError(f"The layers {list(layers)} cannot be exported: name one or more, none of them labels or ids.")
    write = _WRITERS[path.suffix]()
    arrays = _arrays(entry, layers)
    with atomic_path(path) as part:
        write(part, arrays)
    return len(arrays["ids"])


def _arrays(entry: Entry, layers: Sequence[str]) -> dict[str, NDArray]:
    features = [entry.features(layer) for layer in layers]
    common = set.intersection(*(set(part.ids) for part in features))
    kept = [part.rows(np.array([name in common for name in part.ids], dtype=bool)) for part in features]
    names = layers if len(layers) > 1 else ["x"]
    arrays: dict[str, NDArray] = {name: np.asarray(part.x) for name, part in zip(names, kept, strict=True)}
    return {**arrays, "labels": kept[0].labels, "ids": np.array(kept[0].ids, dtype=np.str_)}


Writer = Callable[[Path, dict[str, NDArray]], None]


def _npz() -> Writer:
    def write(path: Path, arrays: dict[str, NDArray]) -> None:
        with zipfile.ZipFile(path, "w") as archive:  # not np.savez, whose parameter names cannot be array names
            for name, values in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, values, allow_pickle=False)

    return write


def _parquet() -> Writer:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="parquet", purpose="to write .parquet files") from error

    def column(values: NDArray) -> "pa.Array":
        if values.ndim == 1:
            return pa.array(values)
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])

    def write(path: Path, arrays: dict[str, NDArray]) -> None:
        pq.write_table(pa.table({name: column(values) for name, values in arrays.items()}), path)

    return write


_WRITERS: dict[str, Callable[[], Writer]] = {".npz": _npz, ".parquet": _parquet}
