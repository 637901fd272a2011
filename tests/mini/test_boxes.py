import hashlib
import pickle
import resource

import numpy as np
import pytest

from transferkit.core.errors import DamagedError, DiskSpaceError, UnreadableImageError, UsageError
from transferkit.data.detection import open_detection
from transferkit.mini import boxes as kept
from transferkit.mini import scenes
from transferkit.mini.boxes import path_of
from transferkit.mini.scenes import CLASSES, draw_scene

DIGEST = "4828938eefd33b71784c2e6e8efaac36411c453f6881bc2537c4d752ecbcdb3a"
"""SHA-256 of the pictures, boxes and labels."""


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(scenes, "COUNTS", (9, 3, 4))


def test_splits_objects_and_pictures(few, data_root, notes):
    dataset = open_detection("mini/scenes", root=data_root, reporter=notes)
    assert notes.tasks == [("Drawing mini/scenes", 16, "images")]
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 9, "val": 3, "test": 4}
    assert (dataset.classes, dataset.scored_on) == (CLASSES, "test")
    for name, split in dataset.splits.items():
        for row, objects in enumerate(split.objects):
            scene = draw_scene(name, row)
            assert (split.reader.image(row) == scene.image).all()
            assert (objects.boxes == scene.boxes).all()
            assert (objects.labels == scene.labels).all()
            assert (objects.difficult == scene.difficult).all()
            assert (objects.areas == scene.areas).all()
            assert not objects.crowd.any()
    assert len({one for split in dataset.splits.values() for one in split.ids}) == 16


def test_it_is_drawn_once_and_again_when_damaged(few, data_root, notes):
    before = open_detection("mini/scenes", root=data_root).split("test").fingerprint
    open_detection("mini/scenes", root=data_root, reporter=notes)
    assert not notes.tasks
    path = path_of(data_root)
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    again = open_detection("mini/scenes", root=data_root, reporter=notes)
    assert len(notes.tasks) == 1
    assert again.split("test").fingerprint == before
    path.with_suffix(".npz").write_bytes(b"PK")
    open_detection("mini/scenes", root=data_root, reporter=notes)
    assert len(notes.tasks) == 2


def test_a_reader_says_when_its_file_is_short_or_gone(few, data_root):
    reader = open_detection("mini/scenes", root=data_root).split("test").reader
    assert len(pickle.dumps(reader)) < 1000
    path = path_of(data_root)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UnreadableImageError, match=r"scenes\.rgb ends before byte 786432"):
        reader.image(3)
    path.unlink()
    with pytest.raises(UnreadableImageError, match=r"scenes\.rgb cannot be read \(No such file"):
        reader.image(0)


def test_a_full_disk_is_one_line(few, data_root):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(DiskSpaceError, match=r"The disk is full: .*scenes\.rgb could not be written"):
            open_detection("mini/scenes", root=data_root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(data_root.rglob("*.part"))


def test_a_disk_that_keeps_nothing_is_named(few, data_root, monkeypatch):
    monkeypatch.setattr(kept, "_store", lambda root, reporter: None)
    with pytest.raises(DamagedError, match=r"scenes\.rgb does not contain what was just written.*--workspace"):
        open_detection("mini/scenes", root=data_root)


def test_options_of_the_name_are_rejected(data_root):
    with pytest.raises(UsageError, match="mini/scenes has no option 'x'"):
        open_detection("mini/scenes:x", root=data_root)


@pytest.mark.slow
def test_the_whole_set(data_root):
    dataset = open_detection("mini/scenes", root=data_root)
    assert [len(split) for split in dataset.splits.values()] == [400, 100, 100]
    digest = hashlib.sha256(path_of(data_root).read_bytes())
    for split in dataset.splits.values():
        assert min(split.boxes_per_class().values()) >= 40
        assert 0.02 < np.mean([len(one) == 0 for one in split.objects]) < 0.2
        assert max(len(one) for one in split.objects) == 6
        assert any(one.difficult.any() for one in split.objects)
        for one in split.objects:
            digest.update(one.boxes.tobytes() + one.labels.tobytes())
    assert digest.hexdigest() == DIGEST, "a change of any byte needs a new VERSION"
