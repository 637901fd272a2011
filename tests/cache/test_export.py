import sys

import numpy as np
import pytest

from tests.cache.filling import IDS, LABELS, READ, begun, fill, filled, truth
from transferkit.cache.export import export_arrays
from transferkit.core.errors import CacheError, MissingExtraError, UsageError


def test_one_layer_is_x(tmp_path):
    export_arrays(filled(tmp_path), ["stem"], tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz") as arrays:
        assert set(arrays) == {"x", "labels", "ids"}
        np.testing.assert_array_equal(arrays["x"], truth("stem")[READ])
        np.testing.assert_array_equal(arrays["labels"], LABELS[READ])
        assert arrays["ids"].tolist() == [IDS[row] for row in np.flatnonzero(READ)]


def test_several_layers_stand_under_their_names_with_the_rows_that_all_have(tmp_path):
    entry = fill(filled(tmp_path, ["stem"], reasons={3: "x"}), ["blocks.11"], reasons={9: "y"})
    export_arrays(entry, ["stem", "blocks.11"], tmp_path / "f.npz")
    rows = [row for row in range(len(IDS)) if row not in (3, 9)]
    with np.load(tmp_path / "f.npz") as arrays:
        assert set(arrays) == {"stem", "blocks.11", "labels", "ids"}
        np.testing.assert_array_equal(arrays["stem"], truth("stem")[rows])
        np.testing.assert_array_equal(arrays["blocks.11"], truth("blocks.11")[rows])
        assert arrays["ids"].tolist() == [IDS[row] for row in rows]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_parquet_has_a_row_a_sample(tmp_path, dtype):
    parquet = pytest.importorskip("pyarrow.parquet")
    export_arrays(filled(tmp_path, dtype=dtype), ["stem", "layer1"], tmp_path / "f.parquet")
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["stem", "layer1", "labels", "ids"]
    for layer in ("stem", "layer1"):
        x = np.stack(table[layer].to_numpy())
        assert x.dtype == dtype
        np.testing.assert_array_equal(x, truth(layer, dtype)[READ])
    assert table["ids"].to_pylist() == [IDS[row] for row in np.flatnonzero(READ)]
    assert table["labels"].to_pylist() == LABELS[READ].tolist()


def test_equal_features_make_equal_archives(tmp_path):
    for name in ("a", "b"):
        export_arrays(filled(tmp_path / name), ["stem"], tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("name", ["f.csv", "f", "f.h5"])
def test_other_extensions_are_rejected(tmp_path, name):
    with pytest.raises(UsageError, match=r"the extension must be one of .npz, .parquet"):
        export_arrays(filled(tmp_path), ["stem"], tmp_path / name)


@pytest.mark.parametrize("layers", [[], ["labels"], ["stem", "ids"]])
def test_invalid_layer_names_are_rejected(tmp_path, layers):
    with pytest.raises(UsageError, match="name one or more, none of them labels or ids"):
        export_arrays(filled(tmp_path), layers, tmp_path / "f.npz")


def test_a_missing_pyarrow_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pyarrow is needed to write .parquet.*transferkit\[parquet\]"):
        export_arrays(filled(tmp_path), ["stem"], tmp_path / "f.parquet")


def test_an_incomplete_layer_leaves_no_file(tmp_path):
    with pytest.raises(CacheError, match="0 of 5 shards"):
        export_arrays(begun(tmp_path / "cache"), ["stem"], tmp_path / "f.npz")
    assert not (tmp_path / "f.npz").exists()
