import dataclasses
import json

import pytest

from tests.data.detection.trees import TREES, an_object, annotation, coco_tree, voc_tree
from transferkit import __version__
from transferkit.core.errors import DataError
from transferkit.data.detection import open_detection
from transferkit.data.detection.boxed import Fault
from transferkit.data.detection.coco import COCO
from transferkit.data.detection.verifying import SplitCounts, verified_boxes
from transferkit.data.detection.voc import VOC


@pytest.fixture
def coco(data_root):
    return coco_tree(data_root / "coco")


def verify(spec, data_root, **options):
    return verified_boxes(open_detection(spec, root=data_root), **options)


def test_counts_equal_a_slow_count(data_root):
    voc_tree(data_root / "voc0712")
    dataset = open_detection("voc0712", root=data_root)
    found = verified_boxes(dataset)
    assert found.splits == {"train": SplitCounts(5, 0, 10, 5, 0), "test": SplitCounts(3, 0, 5, 2, 0)}
    for label, name in enumerate(dataset.classes):
        for split in dataset.splits.values():
            images = objects = 0
            for one in split.objects:
                hits = [number for number in one.labels.tolist() if number == label]
                images, objects = images + bool(hits), objects + len(hits)
            share = found.classes[name][split.name]
            assert (share.images, share.objects) == (images, objects)


@pytest.mark.parametrize("name", TREES)
def test_published_sets_are_compared_with_what_is_published(name, data_root):
    TREES[name][0](data_root / name)
    published = {"coco": COCO, "voc0712": VOC}[name]
    found = verify(name, data_root)
    assert found.published == published.counts
    assert found.published_classes == published.n_classes
    assert sum("published are" in problem for problem in found.problems) >= 2
    json.dumps(found.to_json())


def test_a_set_of_the_users_own_is_not_compared(tmp_path, data_root):
    coco_tree(tmp_path / "own")
    told = list(verify(f"coco:{tmp_path / 'own'}", data_root).lines())
    assert f"  not compared: no published counts of coco:{tmp_path / 'own'}" in told


def test_the_summary_can_be_pasted(coco, data_root, notes):
    found = verify("coco", data_root, reporter=notes)
    hashes = ", ".join(f"{name} {digest[:12]}" for name, digest in found.fingerprints.items())
    assert found.summary == (
        "coco has 5 images with 9 objects of 3 classes (train 3 with 6, val 2 with 3). All images decode "
        "and have the size of their annotation. Between its splits there are 0 exact and 0 near duplicates "
        "(near: 64-bit DCT hashes that differ by at most 6 bits, confirmed on thumbnails). "
        f"Fingerprints: {hashes}; transferkit {__version__}."
    )
    assert notes.tasks[-1] == ("Decoding coco", 5, "images")
    (coco / "val2017/000000000004.jpg").write_bytes(b"")
    assert "1 of its images and annotations are invalid (1 cannot be decoded)." in (verify("coco", data_root).summary)


def test_published_flaws_are_reported_but_are_not_problems(coco, data_root):
    """COCO's train2017 has two annotations whose box has no height."""
    found = verify("coco", data_root)
    two = dataclasses.replace(found, faults=(Fault("a", "no area"), Fault("b", "no area", "1, 1, 1, 2")))
    assert [one for one in two.problems if "invalid" in one] == []
    assert {"  no area: a", "  no area: b (1, 1, 1, 2)"} <= set(two.lines())
    three = dataclasses.replace(two, faults=(*two.faults, Fault("c", "no area")))
    assert "3 invalid: no area, published are 2" in three.problems
    other = dataclasses.replace(two, flaws={})
    assert "2 invalid: no area" in other.problems


def test_every_kind_of_fault_is_listed(data_root):
    devkit = voc_tree(data_root / "voc0712") / "VOCdevkit/VOC2007"
    (devkit / "JPEGImages/000001.jpg").unlink()
    (devkit / "JPEGImages/000002.jpg").write_bytes(b"")
    (devkit / "Annotations/000006.xml").unlink()
    (devkit / "Annotations/000007.xml").write_text(annotation("000007", an_object("unicorn", (1, 1, 5, 5)), (41, 24)))
    found = verify("voc0712", data_root)
    assert found.faults_by_kind == {
        "missing image": ["VOC2007/JPEGImages/000001.jpg (No such file or directory)"],
        "cannot be decoded": ["VOC2007/JPEGImages/000002.jpg (the file is empty)"],
        "no annotation": ["VOC2007/JPEGImages/000006.jpg"],
        "unknown category": ["VOC2007/JPEGImages/000007.jpg object 0 ('unicorn')"],
        "image of another size than its annotation": ["VOC2007/JPEGImages/000007.jpg (40×24, annotated 41×24)"],
    }
    assert sum("invalid" in problem for problem in found.problems) == 5


def test_long_lists_are_cut_for_people(coco, data_root):
    found = verify("coco", data_root)
    many = dataclasses.replace(found, faults=tuple(Fault(f"{n}.jpg", "no area") for n in range(30)))
    lines = list(many.lines())
    assert lines[-1] == "  … and 10 more; --json lists all of them"
    assert sum(line.startswith("  no area: ") for line in lines) == 20
    assert len(many.to_json()["faults"]["no area"]) == 30


def test_a_file_that_changes_meanwhile_stops_it(coco, data_root):
    dataset = open_detection("coco", root=data_root)
    (coco / "train2017/000000000001.jpg").write_bytes(b"other")
    with pytest.raises(DataError, match=r"000000000001.jpg changed after its folder was opened"):
        verified_boxes(dataset)
