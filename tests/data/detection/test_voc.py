import shutil

import numpy as np
import pytest
from PIL import Image

from tests.data.detection.trees import an_object, annotation
from transferkit.core.errors import DataError, UnreadableImageError
from transferkit.data.detection import open_detection
from transferkit.data.detection.voc import CLASSES, parse_xml


@pytest.fixture
def voc(data_root):
    """Write three images per list, in the layout that the three archives unpack to."""
    devkit = data_root / "voc0712" / "VOCdevkit"
    lists = {("VOC2007", "trainval"): "123", ("VOC2012", "trainval"): "456", ("VOC2007", "test"): "789"}
    for (year, name), digits in lists.items():
        for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
            (devkit / year / folder).mkdir(parents=True, exist_ok=True)
        (devkit / year / "ImageSets/Main" / f"{name}.txt").write_text("".join(f"00000{d}\n" for d in digits))
        (devkit / year / "ImageSets/Main" / f"cat_{name}.txt").write_text("000001 -1\n")
        for digit in digits:
            objects = an_object("dog", (1, 1, int(digit), 12)) + an_object("person", (3, 2, 20, 5), difficult=1)
            (devkit / year / "Annotations" / f"00000{digit}.xml").write_text(annotation(digit, objects))
            pixels = np.full((12, 20, 3), 25 * int(digit), np.uint8)
            Image.fromarray(pixels).save(devkit / year / "JPEGImages" / f"00000{digit}.jpg")
    return devkit


def rewrite(voc, stem, objects, year="VOC2007", **options):
    (voc / year / "Annotations" / f"{stem}.xml").write_text(annotation(stem, objects, **options))


def in_its_place(path):
    """A folder of the same name."""
    path.unlink()
    path.mkdir()


def test_both_years_train_and_the_test_of_2007(voc, data_root):
    dataset = open_detection("voc0712", root=data_root)
    assert dataset.classes == CLASSES
    assert (len(CLASSES), list(CLASSES)) == (20, sorted(CLASSES))
    assert dataset.scored_on == "test"
    train, test = dataset.split("train"), dataset.split("test")
    assert train.ids == tuple(
        f"{year}/JPEGImages/00000{d}.jpg" for year, digits in (("VOC2007", "123"), ("VOC2012", "456")) for d in digits
    )
    assert [len(train), len(test)] == [6, 3]
    assert train.sizes.tolist() == [[12, 20]] * 6
    assert test.objects[0].boxes.tolist() == [[0, 0, 7, 12], [2, 1, 20, 5]], "pixels count from 1, inclusive"
    assert [test.classes[label] for label in test.objects[0].labels] == ["dog", "person"]
    assert test.objects[0].difficult.tolist() == [False, True]
    assert not test.objects[0].crowd.any()
    assert test.objects[0].areas.tolist() == [7 * 12, 18 * 4]
    assert train.boxes_per_class()["dog"] == train.boxes_per_class()["person"] == 6
    assert abs(int(train.reader.image(4).mean()) - 125) < 3
    assert not train.faults


def test_a_devkit_elsewhere(voc, data_root, tmp_path):
    moved = tmp_path / "else" / "VOCdevkit"
    shutil.move(voc, moved)
    dataset = open_detection(f"voc0712:{moved}", root=data_root)
    assert dataset.spec == f"voc0712:{moved}"
    assert open_detection(f"voc0712:{moved.parent}", root=data_root).spec == dataset.spec


def test_fingerprints_see_images_and_annotations(voc, data_root):
    def hashes():
        dataset = open_detection("voc0712", root=data_root)
        return [split.fingerprint for split in dataset.splits.values()]

    first = hashes()
    assert hashes() == first
    rewrite(voc, "000008", an_object("dog", (1, 1, 8, 11)))
    second = hashes()
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False]
    Image.new("RGB", (20, 12), "red").save(voc / "VOC2012/JPEGImages/000004.jpg")
    assert [a == b for a, b in zip(second, hashes(), strict=True)] == [False, True]


def test_names_and_boxes_of_parts_are_not_the_objects(voc, data_root):
    corners = "<xmin>5</xmin><ymin>5</ymin><xmax>6</xmax><ymax>6</ymax>"
    part = f"<part><name>head</name><bndbox>{corners}</bndbox></part>"
    rewrite(voc, "000009", an_object("person", (2, 2, 9, 9), parts=part))
    objects = open_detection("voc0712", root=data_root).split("test").objects[2]
    assert objects.boxes.tolist() == [[1, 1, 9, 9]]


BROKEN = {
    "left of it": (an_object("dog", (-4, 1, 0, 5)), "box outside the image"),
    "right of it": (an_object("dog", (21, 1, 25, 5)), "box outside the image"),
    "no area": (an_object("dog", (9, 1, 8, 5)), "no area"),
    "unknown": (an_object("hotdog", (1, 1, 5, 5)), "unknown category"),
    "no box": ("<object><name>dog</name></object>", "box is not finite"),
    "words": (an_object("dog", ("one", 1, 5, 5)), "box is not finite"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_objects(voc, data_root, notes, case):
    broken, kind = BROKEN[case]
    rewrite(voc, "000008", broken + an_object("cat", (1, 1, 5, 5)))
    split = open_detection("voc0712", root=data_root, reporter=notes).split("test")
    assert [(fault.where, fault.kind) for fault in split.faults] == [("VOC2007/JPEGImages/000008.jpg object 0", kind)]
    assert [split.classes[label] for label in split.objects[1].labels] == ["cat"]
    assert notes.notes[0].startswith(f"voc0712 test: 1 left out, {kind}, such as VOC2007/JPEGImages/000008")
    with pytest.raises(DataError, match=f"voc0712 test: .*000008.jpg object 0: {kind}.*--on-error skip"):
        open_detection("voc0712", root=data_root, on_error="stop")


@pytest.mark.parametrize(("value", "difficult"), [("0", False), ("1", True), ("1.0", True), ("", False)])
def test_difficult_is_0_or_1(voc, data_root, value, difficult):
    rewrite(voc, "000008", an_object("cat", (1, 1, 5, 5), difficult=value), size=("20.0", "12"))
    split = open_detection("voc0712", root=data_root).split("test")
    assert split.objects[1].difficult.tolist() == [difficult]
    assert split.sizes.tolist() == [[12, 20]] * 3


def test_another_difficult_is_an_error_that_names_the_value(voc, data_root):
    rewrite(voc, "000008", an_object("cat", (1, 1, 5, 5), difficult="yes"))
    with pytest.raises(DataError, match=r"difficult of VOC2007/JPEGImages/000008.jpg object 0 is 'yes': 0, 1, fal"):
        open_detection("voc0712", root=data_root)


def test_a_box_over_the_edge_is_kept_as_annotated(voc, data_root, notes):
    rewrite(voc, "000008", an_object("dog", (-2, 1, 25, 5)))
    split = open_detection("voc0712", root=data_root, reporter=notes).split("test")
    assert split.objects[1].boxes.tolist() == [[-3, 0, 25, 5]]
    assert notes.notes[0].startswith("voc0712 test: 1 boxes extend over the edge of their image, by up to 5 pix")


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (lambda voc: (voc / "VOC2007/JPEGImages/000008.jpg").unlink(), "missing image"),
        (lambda voc: (voc / "VOC2007/Annotations/000008.xml").unlink(), "no annotation"),
        (
            lambda voc: (voc / "VOC2007/Annotations/000008.xml").write_text("<annota"),
            "annotation cannot be read",
        ),
        (lambda voc: rewrite(voc, "000008", "", size=(0, 12)), "no image size"),
        (lambda voc: rewrite(voc, "000008", "", size=("inf", 12)), "no image size"),
        (lambda voc: rewrite(voc, "000008", "", size=(20.5, 12)), "no image size"),
        (lambda voc: in_its_place(voc / "VOC2007/Annotations/000008.xml"), "annotation cannot be read"),
    ],
)
def test_images_that_are_left_out(voc, data_root, harm, kind):
    harm(voc)
    split = open_detection("voc0712", root=data_root).split("test")
    assert [(one.where, one.kind) for one in split.faults] == [("VOC2007/JPEGImages/000008.jpg", kind)]
    assert [one[-5] for one in split.ids] == ["7", "9"]
    assert split.reader.image(1).shape == (12, 20, 3)
    with pytest.raises(DataError, match=f"000008.jpg: {kind}"):
        open_detection("voc0712", root=data_root, on_error="stop")


@pytest.mark.parametrize("turned", [False, True])
def test_boxes_of_another_picture_are_never_put_on_an_image(voc, data_root, turned):
    """The boxes do not fit a larger or rotated copy of the image."""
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    size = (20, 12) if turned else (40, 24)
    Image.new("RGB", size).save(voc / "VOC2007/JPEGImages/000008.jpg", exif=exif)
    split = open_detection("voc0712", root=data_root).split("test")
    assert split.reader.image(0).shape == (12, 20, 3)
    own = "12×20" if turned else "40×24"
    with pytest.raises(UnreadableImageError, match=f"it has {own} pixels, but its annotation 20×12"):
        split.reader.image(1)


def test_lists_that_cannot_be_read_or_name_an_image_twice(voc, data_root):
    listed = voc / "VOC2007/ImageSets/Main/test.txt"
    listed.write_text(listed.read_text() * 2)
    assert len(open_detection("voc0712", root=data_root).split("test")) == 3
    listed.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"test\.txt cannot be read: .*Take it from the published archive"):
        open_detection("voc0712", root=data_root)
    in_its_place(listed)
    with pytest.raises(DataError, match=r"test\.txt cannot be read: .*Is a directory"):
        open_detection("voc0712", root=data_root)


def test_an_image_without_objects_is_kept(voc, data_root):
    rewrite(voc, "000008", "")
    split = open_detection("voc0712", root=data_root).split("test")
    assert [len(one) for one in split.objects] == [2, 0, 2]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_before_they_grow(voc, data_root, encoding):
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    with pytest.raises(DataError, match="declares a document type"):
        parse_xml(bomb.encode(encoding))
    outside = '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'
    with pytest.raises(DataError, match="declares a document type"):
        parse_xml(outside.encode(encoding))
    assert parse_xml(b"<a><b>1</b></a>").findtext("b") == "1"


def test_absent_and_partial_sets(voc, data_root, tmp_path):
    with pytest.raises(DataError, match=r"nowhere lacks VOC2007 or VOC2012\. Expected are VOCdevkit/VOC2007"):
        open_detection(f"voc0712:{tmp_path / 'nowhere'}", root=data_root)
    listed = voc / "VOC2007/ImageSets/Main/test.txt"
    text = listed.read_text()
    listed.write_text("\n")
    with pytest.raises(DataError, match="voc0712 test has no image"):
        open_detection("voc0712", root=data_root)
    listed.write_text(text)
    for image in (voc / "VOC2007/JPEGImages").glob("00000[789].jpg"):
        image.unlink()
    with pytest.raises(DataError, match=r"no image; the first fault is: VOC2007/JPEGImages/000007.jpg: missing"):
        open_detection("voc0712", root=data_root)
    listed.unlink()
    with pytest.raises(DataError, match=r"test\.txt is missing\. Unpack the archive that contains it"):
        open_detection(f"voc0712:{voc}", root=data_root)
