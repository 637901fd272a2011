"""A flipped byte, a cut file, an absent one: found and named, never silently used."""

from dataclasses import replace

import numpy as np
import pytest

from tests.cache.filling import CLASSES, KEY, contents
from transferkit.cache.manifest import MANIFEST
from transferkit.cache.store import FeatureStore
from transferkit.core.errors import CacheError, DamagedError

ROWS = 24
IDS = [f"a/{i}.jpg" for i in range(ROWS)]
LABELS = np.arange(ROWS) % 7
REASONS = {5: "cut short"}
LAYERS = ("stem", "layer1")


def truth(layer):
    return np.random.default_rng(len(layer)).standard_normal((ROWS, 9)).astype("float16")


def fill(folder, layers=LAYERS):
    entry = FeatureStore(folder).entry(replace(KEY, split="test"))
    entry.begin(IDS, LABELS, CLASSES, shard_rows=16, batch=8)
    for claim in entry.claim(layers):
        with claim:
            claim.write(REASONS, {layer: truth(layer)[claim.rows] for layer in claim.layers})
    return entry


def as_written(entry, layer):
    """Return True if everything that is read equals what was written."""
    features = entry.features(layer)
    read = np.array([row not in REASONS for row in range(ROWS)])
    return (
        np.array_equal(features.x, truth(layer)[read])
        and np.array_equal(features.labels, LABELS[read])
        and features.ids == [name for name, ok in zip(IDS, read, strict=True) if ok]
        and features.skipped == ((IDS[5], "cut short"),)
    )


def refusal(entry, layer):
    """Return the error of reading, or an empty text if everything that it returned is right."""
    try:
        assert as_written(entry, layer)
    except DamagedError as error:
        return str(error)
    return ""


def test_every_flipped_byte_is_harmless_or_refused_and_always_named(tmp_path):
    entry = fill(tmp_path)
    path = entry.folder / "shard-00000.h5"
    good = path.read_bytes()
    refused = 0
    for at in [*range(200), *range(200, len(good), 5)]:
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :])
        again = FeatureStore(tmp_path).entry(entry.key)  # remembers nothing
        complaints = [complaint for layer in LAYERS if (complaint := refusal(again, layer))]
        assert all(path.name in text and "cache prune --damaged" in text for text in complaints), at
        refused += len(complaints)
        assert [str(problem) for problem in again.verify()] == [f"{path}: damaged"], at
    assert refused > 100


def test_a_damaged_layer_is_named_and_the_others_are_read_on(tmp_path):
    entry = fill(tmp_path)
    path = entry.folder / "shard-00001.h5"
    data = bytearray(path.read_bytes())
    data[data.index(truth("stem")[20].tobytes()) + 4] ^= 0x10
    path.write_bytes(data)
    assert as_written(entry, "layer1")
    for read in (entry.features, entry.read, lambda layer: list(entry.chunks(layer, 5))):
        with pytest.raises(DamagedError, match=r"shard-00001.h5 is damaged in 'layers/stem'"):
            read("stem")


@pytest.mark.parametrize("keep", [0, 7, 1000, -1])
def test_a_shard_that_was_cut_is_refused_or_harmless_and_named(tmp_path, keep):
    entry = fill(tmp_path)
    path = entry.folder / "shard-00000.h5"
    path.write_bytes(path.read_bytes()[:keep])
    complaint = refusal(entry, "stem")
    assert "shard-00000.h5 is damaged" in complaint or keep == -1  # the last byte is no feature's
    assert [str(problem) for problem in entry.verify()] == [f"{path}: damaged"]


def test_an_absent_shard_is_reported(tmp_path):
    entry = fill(tmp_path)
    path = entry.folder / "shard-00000.h5"
    path.unlink()
    with pytest.raises(DamagedError, match=r"shard-00000.h5 is missing, although it was finished.*prune --damaged"):
        entry.features("stem")
    assert [str(problem) for problem in entry.verify()] == [f"{path}: absent"]


def test_shards_that_were_exchanged_are_damaged(tmp_path):
    entry = fill(tmp_path)
    first, second = (entry.folder / f"shard-0000{i}.h5" for i in range(2))
    good = first.read_bytes(), second.read_bytes()
    first.write_bytes(good[1])
    second.write_bytes(good[0])
    with pytest.raises(DamagedError):
        entry.features("stem")
    assert [problem.path for problem in entry.verify()] == [first, second]


def test_foreign_files_are_named_and_leftovers_are_not(tmp_path):
    entry = fill(tmp_path)
    for name in ("notes.txt", "shard-1.h5", "shard-00000.lock", ".shard-00000.h5.x1.part", "shard-00009.h5"):
        (entry.folder / name).write_text("")
    problems = [(problem.path.name, problem.what) for problem in entry.verify()]
    assert problems == [("notes.txt", "foreign"), ("shard-1.h5", "foreign")]


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_pruning_what_is_damaged_lets_the_next_run_make_the_same_bytes(tmp_path, harm):
    entry = fill(tmp_path, ["stem"])
    fill(tmp_path, ["layer1"])
    before = contents(tmp_path)
    path = entry.folder / "shard-00000.2.h5"
    data = path.read_bytes()
    path.write_bytes({"flip": data[:-9] + b"!" + data[-8:], "cut": data[:50], "remove": b""}[harm])
    if harm == "remove":
        path.unlink()
    pruned = FeatureStore(tmp_path).prune(damaged=True)
    assert pruned.entries == ()
    assert entry.missing(LAYERS) == ("layer1",)
    assert as_written(entry, "stem")
    assert entry.verify() == []
    fill(tmp_path)
    assert contents(tmp_path) == before


def test_an_entry_whose_manifest_is_damaged_is_refused_named_and_pruned(tmp_path):
    entry = fill(tmp_path)
    path = entry.folder / MANIFEST
    path.write_bytes(path.read_bytes().replace(b"cut", b"cat").replace(b'"rows": 24', b'"rows": 25'))
    store = FeatureStore(tmp_path)
    for use in (lambda: entry.features("stem"), lambda: entry.missing(["stem"]), lambda: fill(tmp_path)):
        with pytest.raises(DamagedError, match=r"entry.json is damaged.*cache prune --damaged"):
            use()
    assert list(store.entries()) == []
    assert [str(problem) for problem in store.verify()] == [f"{path}: damaged"]
    assert store.prune().entries == ()
    assert path.exists()
    assert store.prune(damaged=True).entries == (entry.folder,)
    with pytest.raises(CacheError, match="contains no cache entry"):
        store.entry(entry.key).features("stem")
