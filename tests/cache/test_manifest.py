import json
import shutil

import pytest

from tests.cache.filling import KEY, filled
from transferkit.cache.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from transferkit.core.errors import CacheError, DamagedError


def test_a_manifest_survives_the_disk(tmp_path):
    entry = filled(tmp_path, ["stem"])
    manifest = entry.manifest
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
    before = (entry.folder / MANIFEST).read_bytes()
    write_manifest(entry.folder, manifest)
    assert (entry.folder / MANIFEST).read_bytes() == before


def test_the_key_and_the_digests_are_readable(tmp_path):
    entry = filled(tmp_path, ["stem"])
    plain = json.loads((entry.folder / MANIFEST).read_text())
    assert plain["key"] == KEY.to_json()
    assert sorted(plain["files"]) == [f"shard-{i:05}.h5" for i in range(5)]
    assert plain["files"]["shard-00000.h5"]["layers"] == {"stem": 6}


def test_any_changed_byte_is_found(tmp_path):
    folder = filled(tmp_path, ["stem"]).folder
    path = folder / MANIFEST
    good = path.read_bytes()
    for i in range(0, len(good), 7):
        path.write_bytes(good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :])
        with pytest.raises(DamagedError, match=r"entry.json is damaged"):
            read_manifest(folder)
    for bad in (b"", good[:-1], good[: len(good) // 2], b"[]", b"{}", b'{"digest": 5}', b"\xff"):
        path.write_bytes(bad)
        with pytest.raises(DamagedError, match=r"entry.json is damaged"):
            read_manifest(folder)


def test_a_folder_that_was_moved_to_another_key_is_damaged(tmp_path):
    folder = filled(tmp_path, ["stem"]).folder
    moved = folder.with_name("0" * 64)
    shutil.move(folder, moved)
    with pytest.raises(DamagedError, match=r"entry.json is damaged"):
        read_manifest(moved)


def test_an_entry_of_another_format_is_named_and_not_read(tmp_path, monkeypatch):
    folder = filled(tmp_path, ["stem"]).folder
    monkeypatch.setattr("transferkit.cache.manifest.FORMAT", 9)
    with pytest.raises(CacheError, match="cache format 2, but this transferkit reads 9"):
        read_manifest(folder)


def test_an_absent_entry_gives_the_command_that_creates_it(tmp_path):
    with pytest.raises(CacheError, match=r"contains no cache entry. Create one with `transferkit extract`"):
        read_manifest(tmp_path)
