import hashlib
import json
import os
import time

import numpy as np
import pytest

from transferkit.data import fingerprints
from transferkit.data.fingerprints import (
    UNREADABLE,
    Stamp,
    content_digests,
    file_digest,
    fingerprint_of,
    pixels_digest,
)


def stamps_of(folder):
    found = {}
    for path in sorted(folder.iterdir()):
        status = path.stat()
        found[path.name] = Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.jpg").write_bytes(b"%d" % number * number)
    return folder


@pytest.fixture
def cache_file(tmp_path):
    return tmp_path / "fingerprints" / "cache_file.json"


@pytest.fixture
def settled(monkeypatch):
    """Trust modification times at once, so that tests need not wait two seconds."""
    monkeypatch.setattr(fingerprints, "_SETTLED_NS", -(10**12))


def opened_names(monkeypatch):
    """Record which files are hashed."""
    names = []

    def recording(path):
        names.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(fingerprints, "file_digest", recording)
    return names


def test_digests_are_those_of_the_bytes(folder, cache_file):
    digests = content_digests(folder, stamps_of(folder), cache_file=cache_file)
    assert list(digests) == list(stamps_of(folder))
    for name, digest in digests.items():
        assert digest == hashlib.blake2b((folder / name).read_bytes(), digest_size=16).hexdigest()


def test_large_files_are_hashed_whole(tmp_path):
    data = os.urandom(2**20 + 17)
    (tmp_path / "large").write_bytes(data)
    assert file_digest(tmp_path / "large") == hashlib.blake2b(data, digest_size=16).hexdigest()


@pytest.mark.usefixtures("settled")
def test_known_files_are_not_opened_again(folder, cache_file, monkeypatch):
    first = content_digests(folder, stamps_of(folder), cache_file=cache_file)
    names = opened_names(monkeypatch)
    assert content_digests(folder, stamps_of(folder), cache_file=cache_file) == first
    assert names == []
    (folder / "7.jpg").write_bytes(b"other")
    (folder / "new.jpg").write_bytes(b"new")
    (folder / "8.jpg").unlink()
    second = content_digests(folder, stamps_of(folder), cache_file=cache_file)
    assert sorted(names) == ["7.jpg", "new.jpg"]
    assert second["7.jpg"] != first["7.jpg"]
    assert len(json.loads(cache_file.read_text())["files"]) == 200


@pytest.mark.usefixtures("settled")
def test_a_change_that_keeps_size_and_date_is_seen(folder, cache_file):
    first = content_digests(folder, stamps_of(folder), cache_file=cache_file)
    path = folder / "7.jpg"
    status = path.stat()
    path.write_bytes(b"8" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_digests(folder, stamps_of(folder), cache_file=cache_file)["7.jpg"] != first["7.jpg"]


def test_recently_changed_files_are_not_cached(folder, cache_file):
    content_digests(folder, stamps_of(folder), cache_file=cache_file)
    assert not cache_file.exists()
    old = {name: Stamp(stamp.size_bytes, 1, 1) for name, stamp in stamps_of(folder).items()}
    recent = {"7.jpg": stamps_of(folder)["7.jpg"]}
    content_digests(folder, old | recent, cache_file=cache_file)
    assert len(json.loads(cache_file.read_text())["files"]) == 199


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"files": []}', b'{"files": {"x": 3}}', b"null"]
)
def test_a_damaged_cache_file_is_recomputed(folder, cache_file, damage):
    first = content_digests(folder, stamps_of(folder), cache_file=cache_file)
    whole = cache_file.read_bytes()
    cache_file.write_bytes(damage)
    assert content_digests(folder, stamps_of(folder), cache_file=cache_file) == first
    assert cache_file.read_bytes() == whole


@pytest.mark.usefixtures("settled")
def test_a_cache_file_that_cannot_be_written_only_costs_time(folder, cache_file, notes):
    cache_file.parent.write_text("a file where the folder should be")
    digests = content_digests(folder, stamps_of(folder), cache_file=cache_file, reporter=notes)
    assert len(digests) == 200
    (note,) = notes.notes
    assert "are not cached, and will be computed again" in note


@pytest.mark.usefixtures("settled")
def test_an_interruption_stops_soon_and_loses_little(folder, cache_file, monkeypatch):
    stamps = stamps_of(folder)
    hashed = []

    def interrupted(path):
        if path.name == list(stamps)[50]:
            raise KeyboardInterrupt
        time.sleep(0.002)
        hashed.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(fingerprints, "_FILES_PER_TASK", 1)
    monkeypatch.setattr(fingerprints, "file_digest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        content_digests(folder, stamps, cache_file=cache_file)
    assert len(hashed) < 199
    assert len(json.loads(cache_file.read_text())["files"]) == 50
    monkeypatch.setattr(fingerprints, "file_digest", file_digest)
    names = opened_names(monkeypatch)
    assert len(content_digests(folder, stamps, cache_file=cache_file)) == 200
    assert sorted(names) == sorted(list(stamps)[50:])


@pytest.mark.usefixtures("settled")
def test_unreadable_files_are_marked_and_not_cached(folder, cache_file):
    stamps = stamps_of(folder) | {"absent.jpg": Stamp(1, 1, 1), "broken link.jpg": None}
    digests = content_digests(folder, stamps, cache_file=cache_file)
    assert digests["absent.jpg"] == digests["broken link.jpg"] == UNREADABLE
    assert UNREADABLE not in json.loads(cache_file.read_text())["files"].values()


def test_hashing_says_how_far_it_is(folder, cache_file, notes):
    content_digests(folder, stamps_of(folder), cache_file=cache_file, reporter=notes)
    assert notes.tasks == [(f"Hashing {folder}", 200, "images")]
    assert notes.advanced == 200


def test_a_fingerprint_depends_on_everything():
    def fingerprint(ids=("a", "b"), labels=(0, 1), classes=("x", "y"), contents=("1", "2")):
        return fingerprint_of(ids, np.array(labels), classes, contents)

    variants = [
        fingerprint(),
        fingerprint(ids=("a", "c")),
        fingerprint(ids=("b", "a")),
        fingerprint(labels=(0, 0)),
        fingerprint(classes=("x", "z")),
        fingerprint(classes=("x", "y", "z")),
        fingerprint(contents=("1", "3")),
        fingerprint(contents=("2", "1")),
    ]
    assert len(set(variants)) == len(variants)
    assert fingerprint() == fingerprint(ids=["a", "b"], labels=np.array([0, 1], np.int32))
    assert fingerprint() == "3d061a58cf82394f70ee4a2f0f7bf5e97efe31e234bbc5f0411c6bdcc408e708"


def test_pixels_digest_depends_on_shape_type_and_values():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    variants = [image, image.reshape(4, 2, 3), image.astype(np.int16), image + 1]
    assert len({pixels_digest(one) for one in variants}) == 4
    assert pixels_digest(image[:, ::-1][:, ::-1]) == pixels_digest(image)
