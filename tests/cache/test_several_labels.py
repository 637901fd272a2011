"""Entries whose rows have several labels, beside those of one, which stay as they were."""

import h5py
import numpy as np
import pytest

from tests.cache.filling import CLASSES, DIMS, IDS, KEY, LABELS, READ, ROWS, SHARD_ROWS, begun, fill, filled
from transferkit.cache.export import export_arrays
from transferkit.cache.store import FeatureStore
from transferkit.core.errors import CacheError, ShapeError

SEVERAL = np.random.default_rng(0).choice([1, 0, -1], size=(ROWS, 7))


def several(folder, labels=SEVERAL):
    entry = FeatureStore(folder).entry(KEY)
    entry.begin(IDS, labels, CLASSES, shard_rows=SHARD_ROWS, batch=8)
    return entry


def test_several_labels_come_back(tmp_path):
    entry = fill(several(tmp_path), tuple(DIMS))
    found = entry.features("layer1")
    np.testing.assert_array_equal(found.labels, SEVERAL[READ])
    assert found.labels.dtype == np.int64
    assert entry.verify() == []
    with h5py.File(next(entry.folder.glob("*.h5"))) as shard:
        assert (shard["rows/label"].dtype, shard["rows/label"].shape) == (np.int8, (SHARD_ROWS, 7))


def test_several_labels_are_exported(tmp_path):
    entry = fill(several(tmp_path / "cache"), tuple(DIMS))
    export_arrays(entry, ["stem"], tmp_path / "out.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["labels"], SEVERAL[READ])


def test_one_label_a_row_is_kept_as_before(tmp_path):
    """The row digest dates from before rows could have several labels, that of the key from format 2."""
    entry = filled(tmp_path)
    with h5py.File(entry.folder / "shard-00000.h5") as shard:
        assert shard["rows/label"].dtype == np.int32
    assert entry.manifest.row_digest == "bac83eda8d589e7dd330921d4baebcf80218f29e7d33361d01ef49ade78291b8"
    assert KEY.digest.startswith("0d43e8bc18d58306")


def test_other_labels_are_other_rows(tmp_path):
    several(tmp_path)
    with pytest.raises(CacheError, match="was created with 70 other rows"):
        several(tmp_path, -SEVERAL)
    with pytest.raises(CacheError, match="was created with 70 other rows"):
        begun(tmp_path)


@pytest.mark.parametrize("labels", [SEVERAL[:9], SEVERAL[:, :, None], LABELS[:3]])
def test_invalid_labels_are_rejected(tmp_path, labels):
    with pytest.raises(ShapeError, match="and as many labels"):
        several(tmp_path, labels)
