from dataclasses import replace

from tests.cache.filling import DIMS, KEY, begun, contents, fill, filled, write
from transferkit.cache.store import FeatureStore

OTHER = replace(KEY, model="a", transform={**KEY.transform, "crop": 160})


def test_no_folder_is_an_empty_store(tmp_path):
    store = FeatureStore(tmp_path / "features")
    assert (list(store.entries()), list(store.verify()), store.size_bytes) == ([], [], 0)
    assert store.nearest(KEY) is None
    assert store.prune().entries == ()
    assert not (tmp_path / "features").exists()


def test_entries_are_listed_by_name_and_foreign_folders_are_not(tmp_path):
    filled(tmp_path)
    begun(tmp_path, OTHER)
    (tmp_path / "notes").mkdir()
    store = FeatureStore(tmp_path)
    entries = list(store.entries())
    assert [entry.key for entry in entries] == [OTHER, KEY]
    assert [entry.layers for entry in entries] == [{}, DIMS]
    assert store.size_bytes == sum(map(len, contents(tmp_path).values()))


def test_a_different_key_never_reuses_an_entry_and_nearest_gives_the_differences(tmp_path):
    filled(tmp_path)
    begun(tmp_path, OTHER)
    store = FeatureStore(tmp_path)
    wanted = replace(KEY, weights="new")
    assert begun(tmp_path, wanted).missing(list(DIMS)) == tuple(DIMS)
    entry, differences = store.nearest(wanted)
    assert entry.key == KEY
    assert differences == [("weights", "new", KEY.weights)]


def test_pruning_removes_what_is_unwanted_empty_or_left_over_and_nothing_else(tmp_path):
    kept, gone, empty = filled(tmp_path), fill(begun(tmp_path, OTHER), ["stem"]), replace(KEY, split="val")
    begun(tmp_path, empty)
    before = contents(kept.folder)
    for name in (".shard-00001.h5.abc.part", ".entry.json.x.part", "shard-00000.7.h5", "shard-00002.lock"):
        (kept.folder / name).write_text("left")
    (tmp_path / ("f" * 64)).mkdir()
    store = FeatureStore(tmp_path)
    size = store.size_bytes
    pruned = store.prune(lambda entry: entry.key.model == "a")
    assert set(pruned.entries) == {gone.folder, tmp_path / empty.digest, tmp_path / ("f" * 64)}
    assert pruned.busy == ()
    assert contents(kept.folder) == before
    assert [path.name for path in kept.folder.iterdir() if path.suffix == ".lock"] == []
    assert pruned.bytes == size - sum(map(len, before.values()))


def test_an_entry_that_is_being_filled_is_not_pruned(tmp_path):
    entry = begun(tmp_path)
    with next(entry.claim(["stem"])) as claim:
        pruned = FeatureStore(tmp_path).prune(lambda entry: True)
        assert (pruned.entries, pruned.busy) == ((), (entry.folder,))
        write(claim)
    assert FeatureStore(tmp_path).prune(lambda entry: True).entries == (entry.folder,)


def test_an_extraction_goes_on_when_its_entry_was_pruned_before_the_first_shard(tmp_path):
    entry = begun(tmp_path / "a")
    assert FeatureStore(tmp_path / "a").prune().entries == (entry.folder,)
    assert entry.batch == 8
    fill(entry, list(DIMS))
    assert contents(tmp_path / "a") == contents(filled(tmp_path / "b").folder.parent)


def test_verifying_the_store_names_problems_of_all_entries(tmp_path):
    first, second = filled(tmp_path), fill(begun(tmp_path, OTHER), ["stem"])
    (first.folder / "shard-00000.h5").unlink()
    (second.folder / "shard-00003.h5").write_bytes(b"")
    found = {(problem.path.parent, problem.path.name, problem.what) for problem in FeatureStore(tmp_path).verify()}
    assert found == {
        (first.folder, "shard-00000.h5", "absent"),
        (second.folder, "shard-00003.h5", "damaged"),
    }


def test_pruning_an_entry_of_another_format_leaves_it(tmp_path, monkeypatch):
    entry = filled(tmp_path)
    monkeypatch.setattr("transferkit.cache.manifest.FORMAT", 9)
    store = FeatureStore(tmp_path)
    assert list(store.entries()) == []
    assert store.prune(damaged=True).entries == ()
    assert entry.folder.exists()
