import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from tests.cache.filling import (
    CLASSES,
    DIMS,
    IDS,
    KEY,
    LABELS,
    READ,
    ROWS,
    SHARD_ROWS,
    UNREADABLE,
    begun,
    contents,
    fill,
    filled,
    truth,
    write,
)
from transferkit.cache.entry import planned_bytes
from transferkit.cache.store import FeatureStore
from transferkit.core.errors import CacheError, DamagedError, ShapeError
from transferkit.core.out_of_core import Blocks


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_come_back_exactly_without_unreadable_rows(tmp_path, dtype):
    entry = filled(tmp_path, dtype=dtype)
    for layer in DIMS:
        features = entry.features(layer)
        assert features.x.dtype == dtype
        np.testing.assert_array_equal(features.x, truth(layer, dtype)[READ])
        np.testing.assert_array_equal(features.labels, LABELS[READ])
        assert features.labels.dtype == np.int64
        assert features.ids == [IDS[row] for row in np.flatnonzero(READ)]
        assert features.skipped == tuple((IDS[row], why) for row, why in UNREADABLE.items())
        assert (features.model, features.data, features.split) == (KEY.model, KEY.data, "train")
        assert (features.layer, features.pooling, features.classes) == (layer, "avg", CLASSES)
        assert (features.weights, features.fingerprint) == (KEY.weights, KEY.fingerprint)


def test_features_come_back_exactly_when_every_row_was_read(tmp_path):
    entry = filled(tmp_path, ["stem"], reasons={})
    features = entry.features("stem")
    np.testing.assert_array_equal(features.x, truth("stem"))
    assert (features.ids, features.skipped, entry.skipped) == (list(IDS), (), ())
    x, rows = entry.read("stem")
    np.testing.assert_array_equal(x, truth("stem"))
    np.testing.assert_array_equal(rows, np.arange(ROWS))


def test_another_process_reads_the_same_from_the_disk_alone(tmp_path):
    filled(tmp_path)
    entry = FeatureStore(tmp_path).entry(KEY)
    np.testing.assert_array_equal(entry.features("layer1").x, truth("layer1")[READ])
    assert (entry.rows, entry.batch, entry.classes, entry.layers) == (ROWS, 8, CLASSES, DIMS)
    assert entry.skipped == tuple((IDS[row], why) for row, why in UNREADABLE.items())
    assert entry.size_bytes == sum(map(len, contents(tmp_path).values()))


def test_read_and_chunks_agree(tmp_path):
    entry = filled(tmp_path, ["layer1"])
    x, rows = entry.read("layer1")
    np.testing.assert_array_equal(rows, np.flatnonzero(READ))
    np.testing.assert_array_equal(x, truth("layer1")[READ])
    for size in (1, 5, SHARD_ROWS, 1000):
        pieces = list(entry.chunks("layer1", size))
        assert max(len(part) for part, _ in pieces) <= size
        np.testing.assert_array_equal(np.concatenate([part for part, _ in pieces]), x)
        np.testing.assert_array_equal(np.concatenate([numbers for _, numbers in pieces]), rows)


def test_a_shard_is_plain_hdf5_for_everyone(tmp_path):
    entry = filled(tmp_path)
    with h5py.File(entry.folder / "shard-00002.h5") as file:
        rows = slice(2 * SHARD_ROWS, 3 * SHARD_ROWS)
        assert file["rows/id"].asstr()[:].tolist() == list(IDS[rows])
        np.testing.assert_array_equal(file["rows/label"][:], LABELS[rows])
        np.testing.assert_array_equal(file["rows/status"][:], ~READ[rows])
        assert file["rows/reason"].asstr()[:].tolist() == ["not an image"]
        x = file["layers/layer1"][:]
        np.testing.assert_array_equal(x[READ[rows]], truth("layer1")[rows][READ[rows]])
        assert not x[~READ[rows]].any()
        assert all(file[f"layers/{name}"].fletcher32 for name in DIMS)


def test_more_layers_are_further_files_and_nothing_finished_is_touched(tmp_path):
    entry = filled(tmp_path, ["stem"])
    before = contents(entry.folder)
    fill(entry, ["blocks.11", "stem", "layer1"])
    after = contents(entry.folder)
    assert {name: after[name] for name in before if name != "entry.json"} == {
        name: data for name, data in before.items() if name != "entry.json"
    }
    assert set(after) - set(before) == {f"shard-{i:05}.2.h5" for i in range(5)}
    with h5py.File(entry.folder / "shard-00000.2.h5") as file:
        assert set(file["layers"]) == {"blocks.11", "layer1"}
    assert entry.missing(list(DIMS)) == ()
    for layer in DIMS:
        np.testing.assert_array_equal(entry.features(layer).x, truth(layer)[READ])


def test_a_file_that_failed_only_once_is_missing_only_from_those_layers(tmp_path):
    entry = filled(tmp_path, ["stem"], reasons={5: "network down"})
    fill(entry, ["layer1"], reasons={40: "cut short"})
    assert entry.features("stem").skipped == ((IDS[5], "network down"),)
    assert entry.features("layer1").skipped == ((IDS[40], "cut short"),)
    assert entry.skipped == ((IDS[5], "network down"), (IDS[40], "cut short"))


def test_missing_is_judged_shard_by_shard(tmp_path):
    entry = begun(tmp_path)
    assert entry.missing(["stem", "layer1"]) == ("stem", "layer1")
    with next(entry.claim(["stem"])) as claim:
        write(claim)
    claims = list(entry.claim(["layer1", "stem"]))
    assert [claim.layers for claim in claims] == [("layer1",)] + [("layer1", "stem")] * 4
    assert [len(claim.rows) for claim in claims] == [16, 16, 16, 16, 6]
    for claim in claims:
        write(claim)
        claim.close()
    assert entry.missing(["layer1", "stem"]) == ()
    assert list(entry.claim(["layer1", "stem"])) == []


def test_two_claims_of_one_shard_exclude_each_other(tmp_path):
    first, second = begun(tmp_path), begun(tmp_path)
    walk = first.claim(["stem"])
    mine = [next(walk) for _ in range(3)]
    others = list(second.claim(["stem"]))
    assert [claim.rows[0] // SHARD_ROWS for claim in mine] == [0, 1, 2]
    assert [claim.rows[0] // SHARD_ROWS for claim in others] == [3, 4]
    for claim in [*mine, *others]:
        claim.close()
    again = list(second.claim(["stem"]))
    assert len(again) == 5
    for claim in again:
        claim.close()
    assert set(contents(tmp_path)) == {f"{KEY.digest}/entry.json"}


def test_a_released_claim_can_be_claimed_again(tmp_path):
    entry = begun(tmp_path)
    claim = next(entry.claim(["stem"]))
    again = entry.claim(["stem"])
    assert next(again).rows[0] == SHARD_ROWS
    del claim
    assert next(entry.claim(["stem"])).rows[0] == 0


def test_a_shard_that_another_process_finished_is_not_filled_again(tmp_path):
    first, second = begun(tmp_path), begun(tmp_path)
    walk = first.claim(["stem"])
    next(walk).close()
    fill(second, ["stem"])
    assert list(walk) == []


def test_an_entry_keeps_the_batch_and_shards_it_was_begun_with(tmp_path):
    begun(tmp_path, batch=8)
    again = FeatureStore(tmp_path).entry(KEY)
    assert again.begun
    again.begin(IDS, LABELS, CLASSES, shard_rows=50, batch=256)
    assert again.batch == 8
    with next(again.claim(["stem"])) as claim:
        assert len(claim.rows) == SHARD_ROWS


@pytest.mark.parametrize(
    ("ids", "labels", "classes"),
    [
        ((*IDS[:-1], "another.jpg"), LABELS, CLASSES),
        (IDS, LABELS[::-1], CLASSES),
        (IDS, LABELS, CLASSES[::-1]),
        (IDS[:-1], LABELS[:-1], CLASSES),
    ],
)
def test_other_rows_of_the_same_fingerprint_are_rejected(tmp_path, ids, labels, classes):
    begun(tmp_path)
    with pytest.raises(CacheError, match=r"was created with 70 other rows or classes.*cache prune"):
        FeatureStore(tmp_path).entry(KEY).begin(ids, labels, classes, shard_rows=SHARD_ROWS, batch=8)


@pytest.mark.parametrize(("ids", "labels"), [((), LABELS[:0]), (IDS, LABELS[:-1]), (("a\0b", *IDS[1:]), LABELS)])
def test_invalid_ids_and_labels_are_rejected(tmp_path, ids, labels):
    with pytest.raises(ShapeError, match="at least one id, none with a NUL character"):
        FeatureStore(tmp_path).entry(KEY).begin(ids, labels, CLASSES, shard_rows=8, batch=8)
    assert not contents(tmp_path)


def test_an_incomplete_layer_gives_its_progress_and_the_command_to_continue(tmp_path):
    entry = begun(tmp_path)
    walk = entry.claim(["stem"])
    for _ in range(2):
        with next(walk) as claim:
            write(claim)
    words = (
        r"Only 2 of 5 shards of 'stem' are finished for random:tiny on folder:/photos train. Fill the rest with: "
        "transferkit extract --model random:tiny --data folder:/photos --layers stem --pooling avg "
        "--dtype float16 --precision fp32"
    )
    for read in (entry.features, entry.read, lambda layer: list(entry.chunks(layer, 5))):
        with pytest.raises(CacheError, match=words):
            read("stem")
    with pytest.raises(CacheError, match="0 of 5 shards of 'head'"):
        entry.features("head")


def test_begin_must_be_called_before_claim(tmp_path):
    assert not FeatureStore(tmp_path).entry(KEY).begun
    with pytest.raises(CacheError, match="has no rows yet: call begin"):
        next(FeatureStore(tmp_path).entry(KEY).claim(["stem"]))
    with pytest.raises(CacheError, match="contains no cache entry"):
        FeatureStore(tmp_path).entry(KEY).missing(["stem"])


@pytest.mark.parametrize("dims", [(256, 512, 1024, 2048, 2048)])
def test_the_cache_is_little_larger_than_the_features_and_within_the_plan(tmp_path, dims):
    rows = 2000
    layers = {f"layer{i}": np.zeros((rows, d), "float16") for i, d in enumerate(dims)}
    entry = FeatureStore(tmp_path).entry(replace(KEY, split="test"))
    ids = [f"{row:040}" for row in range(rows)]
    entry.begin(ids, np.zeros(rows, np.int64), CLASSES, shard_rows=2048, batch=32)
    for claim in entry.claim(list(layers)):
        with claim:
            claim.write({}, {name: layers[name][claim.rows] for name in claim.layers})
    taken = sum(path.stat().st_size for path in tmp_path.rglob("*"))
    assert taken <= 1.02 * sum(x.nbytes for x in layers.values())
    assert taken <= planned_bytes(rows, dims, "float16") <= 1.03 * taken


def test_the_cache_does_not_need_torch():
    script = "import sys, transferkit.cache.store, transferkit.cache.export; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_layer_larger_than_its_memory_stays_on_the_disk(tmp_path):
    entry = filled(tmp_path)
    held = entry.features("layer1")
    size = held.x.nbytes
    assert isinstance(entry.features("layer1", memory_bytes=size).x, np.ndarray)
    left = entry.features("layer1", memory_bytes=size - 1)
    assert isinstance(left.x, Blocks)
    assert (left.x.shape, left.x.dtype, left.ids) == (held.x.shape, held.x.dtype, held.ids)
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(left.x), held.x)
    assert max(len(piece) for piece in left.x.pieces()) <= SHARD_ROWS


def test_a_damaged_layer_on_the_disk_is_refused_when_it_is_gone_through(tmp_path):
    entry = filled(tmp_path)
    left = entry.features("layer1", memory_bytes=0)
    path = entry.folder / "shard-00001.h5"
    data = bytearray(path.read_bytes())
    at = data.find(truth("layer1")[SHARD_ROWS].tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedError, match=r"shard-00001\.h5 is damaged in 'layers/layer1'"):
        np.asarray(left.x)


def test_features_have_the_groups_of_the_rows_that_could_be_read(tmp_path):
    entry = begun(tmp_path)
    fill(entry, ["stem"])
    groups = tuple(f"patient {row // 3}" for row in range(ROWS))
    grouped = FeatureStore(tmp_path).entry(KEY, groups)
    features, plain = grouped.features("stem"), entry.features("stem")
    assert features.groups == tuple(group for group, read in zip(groups, READ, strict=True) if read)
    assert plain.groups is None
    assert (features.x == plain.x).all()
    assert plain.fingerprint == entry.fingerprint == KEY.fingerprint
    assert features.fingerprint == grouped.fingerprint != KEY.fingerprint
    other = FeatureStore(tmp_path).entry(KEY, ("one group",) * ROWS)
    assert other.features("stem").fingerprint != features.fingerprint
