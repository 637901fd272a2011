import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from tests.datasets.kornblith_trees import sun397
from tests.datasets.trees import TREES
from transferkit import __version__
from transferkit.core.errors import DataError
from transferkit.data.duplicate_pairs import DuplicatePair
from transferkit.data.published import PUBLISHED
from transferkit.data.verifying import verified
from transferkit.protocols.dataset_catalog import open_dataset


def scene(seed):
    """A picture that no other looks like."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((80, 60), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path):
    """Two classes in train and test, all images distinct: ``train/cat/0.png`` and so on."""
    seed = 0
    for split, count in {"train": 5, "test": 3}.items():
        for label in ("cat", "dog"):
            for number in range(count):
                path = tmp_path / "images" / split / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                scene(seed).save(path)
                seed += 1
    return tmp_path / "images"


def verify(folder, tmp_path, **options):
    return verified(open_dataset(f"folder:{folder}", root=tmp_path / "data"), **options)


def test_a_complete_set_has_no_problems(folder, tmp_path, notes):
    found = verify(folder, tmp_path, reporter=notes)
    assert found.problems == []
    assert found.counts == {"train": 10, "test": 6}
    assert found.classes == {"cat": {"train": 5, "test": 3}, "dog": {"train": 5, "test": 3}}
    assert (found.leaks, found.conflicts, dict(found.unreadable), dict(found.published)) == ((), (), {}, {})
    assert notes.tasks[-1] == (f"Decoding folder:{folder}", 16, "images")
    assert notes.advanced == 16


def test_the_summary_can_be_pasted(folder, tmp_path):
    found = verify(folder, tmp_path)
    hashes = ", ".join(f"{name} {digest[:12]}" for name, digest in found.fingerprints.items())
    assert found.summary == (
        f"folder:{folder} has 16 images of 2 classes (10 train, 6 test), all of which decode. Between its "
        "splits there are 0 exact and 0 near duplicates, and in train 0 exact and 0 near duplicates under "
        "two labels (near: 64-bit DCT hashes that differ by at most 6 bits, confirmed on thumbnails). "
        f"Fingerprints: {hashes}; transferkit {__version__}."
    )
    assert list(found.lines())[1] == "  train: 10 images; 5 per class"


def test_every_copy_between_splits_is_found(folder, tmp_path):
    train = folder / "train"
    (folder / "test/cat/bytes.png").write_bytes((train / "cat/0.png").read_bytes())
    Image.open(train / "dog/1.png").save(folder / "test/dog/pixels.bmp")
    Image.open(train / "dog/2.png").save(folder / "test/dog/near.jpg", quality=60)
    found = verify(folder, tmp_path)
    assert {(twin.first, twin.second, twin.same) for twin in found.leaks} == {
        ("train/train/cat/0.png", "test/test/cat/bytes.png", "bytes"),
        ("train/train/dog/1.png", "test/test/dog/pixels.bmp", "pixels"),
        ("train/train/dog/2.png", "test/test/dog/near.jpg", "near"),
    }
    assert found.problems == ["2 images that are in two splits"]
    assert "there are 2 exact and 1 near duplicates" in found.summary
    told = "\n".join(found.lines())
    assert "  wrong: 2 images that are in two splits\n" in told
    assert "  in two splits: train/train/cat/0.png (cat) and test/test/cat/bytes.png (cat), the same bytes" in told


def test_near_duplicates_alone_are_no_problem(folder, tmp_path):
    Image.open(folder / "train/dog/2.png").save(folder / "test/dog/near.jpg", quality=60)
    found = verify(folder, tmp_path)
    assert len(found.leaks) == 1
    assert found.problems == []


def test_one_image_under_two_labels(folder, tmp_path):
    (folder / "train/dog/same.png").write_bytes((folder / "train/cat/3.png").read_bytes())
    (folder / "train/cat/again.png").write_bytes((folder / "train/cat/4.png").read_bytes())
    found = verify(folder, tmp_path)
    assert [dataclasses.astuple(twin)[:5] for twin in found.conflicts] == [
        ("train/train/cat/3.png", "train/train/dog/same.png", "cat", "dog", "bytes")
    ]
    assert found.problems == ["1 image of train with two labels"]


def test_images_that_cannot_be_decoded_are_listed(folder, tmp_path):
    (folder / "test/cat/broken.png").write_bytes((folder / "train/cat/3.png").read_bytes()[:200])
    (folder / "train/dog/empty.png").touch()
    found = verify(folder, tmp_path)
    assert set(found.unreadable) == {"test/test/cat/broken.png", "train/train/dog/empty.png"}
    assert found.unreadable["train/train/dog/empty.png"] == "the file is empty"
    assert found.problems == ["2 images that cannot be decoded"]
    assert "2 of which do not decode" in found.summary
    assert "  cannot be decoded: train/train/dog/empty.png (the file is empty)" in list(found.lines())


def test_grey_that_is_dark_or_read_on_different_scales_is_reported(folder, tmp_path, notes):
    rng = np.random.default_rng(0)
    for number, (top, dtype) in enumerate([(4095, np.uint16), (1, np.float32), (200, np.float32)]):
        values = (rng.random((60, 80)) * top).astype(dtype)
        Image.fromarray(values).save(folder / "train" / "cat" / f"grey{number}.tif")
    verify(folder, tmp_path, reporter=notes)
    told = [note for note in notes.notes if note.startswith(f"folder:{folder} train: ")]
    assert len(told) == 2
    assert "1 grey images on the scale 0 … 65535 reach at most 409" in told[0]
    assert "0 … 1 (such as train/cat/grey1.tif), 1 as 0 … 255 (such as train/cat/grey2.tif)" in told[1]


def test_rows_after_one_that_cannot_be_decoded_keep_their_names(folder, tmp_path):
    (folder / "train/cat/0.png").write_bytes(b"")
    (folder / "test/dog/copy.png").write_bytes((folder / "train/dog/4.png").read_bytes())
    (twin,) = verify(folder, tmp_path).leaks
    assert (twin.first, twin.second) == ("train/train/dog/4.png", "test/test/dog/copy.png")


@pytest.mark.parametrize("name", TREES)
def test_published_sets_are_compared_with_what_is_published(name, data_root):
    TREES[name](data_root / name)
    found = verified(open_dataset(name, root=data_root))
    assert found.published == PUBLISHED[name].counts
    assert any("published are" in problem for problem in found.problems)
    assert not found.unreadable
    json.dumps(found.to_json())


def test_counts_that_are_as_published_are_no_problem(folder, tmp_path):
    found = verify(folder, tmp_path)
    by_split = dataclasses.replace(found, published={"train": 10, "test": 6}, published_classes=2)
    whole = dataclasses.replace(found, published={"all": 16}, published_classes=2)
    assert by_split.problems == whole.problems == []
    assert "  test: 6 images, published 6; 3 per class" in list(by_split.lines())
    wrong = dataclasses.replace(found, published={"train": 9, "val": 4, "test": 6}, published_classes=3)
    assert wrong.problems == [
        "10 images in train, published are 9",
        "0 images in val, published are 4",
        "2 classes, published are 3",
    ]
    assert dataclasses.replace(found, published={"all": 17}).problems == ["16 images, published are 17"]


def test_classes_without_an_image_are_a_problem(folder, tmp_path):
    found = verify(folder, tmp_path)
    empty = dataclasses.replace(found, classes={**found.classes, "cow": {"train": 0, "test": 3}})
    assert empty.problems == ["1 class without an image in train: cow"]


@pytest.mark.parametrize(
    ("spec", "problems"),
    [
        ("omniglot:all", ["160 images, published are 32460", "8 classes, published are 1623"]),
        ("dtd:2", [f"15 images in {split}, published are 1880" for split in ("train", "val", "test")]),
        ("deepweeds:0", ["45 images, published are 17509", "3 classes, published are 9"]),
        ("sun397:all", ["24 images, published are 108754", "3 classes, published are 397"]),
    ],
)
def test_options_are_compared_with_what_they_mean(spec, problems, data_root, notes):
    name = spec.partition(":")[0]
    (TREES | {"sun397": sun397})[name](data_root / name)
    found = verified(open_dataset(spec, root=data_root, reporter=notes))
    assert found.problems[: len(problems)] == problems
    assert "not compared" not in "\n".join(found.lines())
    assert any(note.endswith(f"Check with: transferkit datasets verify {spec}") for note in notes.notes)


def test_what_nobody_published_is_not_compared(folder, tmp_path):
    found = verify(folder, tmp_path)
    assert f"  not compared: no published counts of folder:{folder}" in list(found.lines())


def test_a_budget_is_not_compared(data_root):
    TREES["eurosat"](data_root / "eurosat")
    found = verified(open_dataset("eurosat@shots=2", root=data_root))
    assert not found.published
    assert found.problems == []
    assert "  not compared: no published counts of eurosat@shots=2" in list(found.lines())


def test_long_lists_are_cut_for_people(folder, tmp_path):
    found = verify(folder, tmp_path)
    many = tuple(DuplicatePair(f"a/{n}", f"b/{n}", "cat", "cat", "pixels", 0) for n in range(30))
    lines = list(dataclasses.replace(found, leaks=many).lines())
    assert lines[-1] == "  … and 10 more; --json lists all of them"
    assert len(lines) == 1 + 2 + 1 + 1 + 20 + 1


def test_a_file_that_changes_meanwhile_stops_it(folder, tmp_path):
    dataset = open_dataset(f"folder:{folder}", root=tmp_path / "data")
    scene(99).save(folder / "train/cat/0.png", compress_level=0)
    with pytest.raises(DataError, match=r"0.png changed after its folder was opened"):
        verified(dataset)
