import re
from dataclasses import replace

import numpy as np
import pytest

from transferkit.core.errors import DataError, NonFiniteError, ShapeError, UnknownNameError, UsageError
from transferkit.data.detection import DETECTION, open_detection
from transferkit.data.detection.boxed import Annotation, DetectionDataset, Fault, ImageBoxes, detection_fingerprint
from transferkit.data.detection.checking import EDGE_TOLERANCE, FaultList, box_fault, finite_number, flag, whole_number
from transferkit.protocols.dataset_catalog import expand_datasets, known_detection, open_dataset

TWO = ImageBoxes.of([Annotation((0, 1, 4, 3), 1), Annotation((2, 2, 5, 9), 0, difficult=True, crowd=True, area=7)])


def test_marks_become_arrays():
    assert TWO.boxes.tolist() == [[0, 1, 4, 3], [2, 2, 5, 9]]
    assert (TWO.boxes.dtype, TWO.labels.dtype, TWO.areas.dtype) == (np.float32, np.int64, np.float32)
    assert TWO.labels.tolist() == [1, 0]
    assert TWO.areas.tolist() == [8, 7], "the box's, unless the outline's is known"
    assert TWO.difficult.tolist() == TWO.crowd.tolist() == [False, True]
    assert (len(TWO), ImageBoxes.of([]).boxes.shape, ImageBoxes.of([]).crowd.dtype) == (2, (0, 4), bool)


@pytest.mark.parametrize("name", ["labels", "difficult", "crowd", "areas", "boxes"])
def test_arrays_that_do_not_fit(name):
    with pytest.raises(ShapeError, match=r"[23] objects need \w+ \["):
        replace(TWO, **{name: np.repeat(getattr(TWO, name), [1, 2], axis=0)})


@pytest.mark.parametrize("name", ["boxes", "areas"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name, value):
    values = getattr(TWO, name).copy()
    values[0] = value
    with pytest.raises(NonFiniteError, match=r"A box or an area of an object is NaN or infinite\. Leave such"):
        replace(TWO, **{name: values})


def test_the_fingerprint_sees_everything():
    def of(ids=("a",), size=4, objects=TWO, classes=("x", "y"), content="1"):
        return detection_fingerprint(ids, np.array([[size, 9]]), [objects], classes, [content])

    variants = [of(ids=("b",)), of(size=5), of(classes=("x", "z")), of(content="2")]
    for name in ("boxes", "labels", "difficult", "crowd", "areas"):
        changed = getattr(TWO, name).copy()
        changed[0] = ~changed[0] if changed.dtype == bool else changed[0] + 1
        variants.append(of(objects=replace(TWO, **{name: changed})))
    assert len({of(), *variants}) == 1 + len(variants)
    assert of() == of()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 10, 8), None),
        ((-3, 1, 13, 8.5), None),
        ((9.9, 7.9, 30, 30), None),
        ((0, 9.5, 3, 10), "box outside the image"),
        ((10, 0, 10.8, 3), "box outside the image"),
        ((-5, 0, 0, 3), "box outside the image"),
        ((0, -5, 3, 0), "box outside the image"),
        ((3, 3, 3, 5), "no area"),
        ((5, 3, 3, 5), "no area"),
        ((0, 0, float("nan"), 5), "box is not finite"),
        ((0, 0, float("inf"), 5), "box is not finite"),
    ],
)
def test_a_box_has_an_area_and_overlaps_its_image(box, expected):
    fault = box_fault(box, height=8, width=10)
    assert (fault and fault[0]) == expected


def test_boxes_over_an_edge_are_kept_and_reported(notes):
    faults = FaultList("tiny train", "stop")
    for number, box in enumerate([(-EDGE_TOLERANCE, 0, 10 + EDGE_TOLERANCE, 8), (-3, 0, 5, 5), (0, 0, 5, 14.5)]):
        assert faults.accepts(f"{number}.jpg", box, 8, 10)
    assert faults.report(notes) == ()
    assert notes.notes == [
        "tiny train: 2 boxes extend over the edge of their image, by up to 6.5 pixels (2.jpg). They are clipped "
        "in training, and scored as annotated."
    ]


@pytest.mark.parametrize(
    ("value", "whole", "finite"),
    [
        (90, 90, 90),
        (90.0, 90, 90),
        ("90", 90, 90),
        (" 90.0 ", 90, 90),
        ("-3", -3, -3),
        (0.5, None, 0.5),
        ("0.5", None, 0.5),
        (2**60 + 1, 2**60 + 1, 2**60),
        (str(2**60 + 1), 2**60 + 1, 2**60),
        ([150.0], None, 150),
        ([1, 2], None, None),
        (True, None, None),
        (None, None, None),
        ("", None, None),
        ("ten", None, None),
        (float("nan"), None, None),
        (float("inf"), None, None),
        ("1e999", None, None),
        (10**400, 10**400, None),
        ({}, None, None),
    ],
)
def test_which_values_count_as_numbers(value, whole, finite):
    assert whole_number(value) == whole
    assert finite_number(value) == finite


@pytest.mark.parametrize(
    ("value", "meant"),
    [(0, 0), (1, 1), ("0", 0), ("1", 1), (False, 0), (True, 1), (0.0, 0), (1.0, 1), ("1.0", 1)],
)
def test_a_flag_is_0_or_1_in_any_type(value, meant):
    assert flag(value, "iscrowd") is bool(meant)


@pytest.mark.parametrize("value", [2, -1, "no", "", None, 0.5, [], "true"])
def test_a_flag_of_another_value_is_refused(value):
    message = f"coco val: iscrowd of 5 is {value!r}: 0, 1, false and true are allowed. Correct the"
    with pytest.raises(DataError, match=re.escape(message)):
        flag(value, "coco val: iscrowd of 5")


def test_classes_of_one_name_and_labels_of_no_class_are_refused(data_root):
    split = open_detection("mini/scenes", root=data_root).split("val")
    names = (*split.classes[:-1], split.classes[0])
    with pytest.raises(DataError, match=f"mini/scenes has two classes with the name '{split.classes[0]}'"):
        replace(split, classes=names)
    with pytest.raises(DataError, match=r"has the labels \[.*\], but the labels of 1 classes are 0 … 0\."):
        replace(split, classes=split.classes[:1])


def test_faults_are_counted_listed_and_reported(notes):
    faults = FaultList("tiny train", "skip")
    faults.add("a.jpg", "no area", "1, 1, 1, 2")
    faults.add("b.jpg", "missing image")
    faults.add("c.jpg", "no area", "3, 1, 3, 2")
    assert faults.report(notes)[1] == Fault("b.jpg", "missing image")
    assert notes.notes == [
        "tiny train: 2 left out, no area, such as a.jpg: no area (1, 1, 1, 2)",
        "tiny train: 1 left out, missing image, such as b.jpg: missing image",
    ]
    with pytest.raises(DataError, match=r"tiny: a\.jpg: no area \(1\)\. Correct .*--on-error skip"):
        FaultList("tiny", "stop").add("a.jpg", "no area", "1")


def test_what_is_known(data_root):
    (data_root / "coco" / "annotations").mkdir(parents=True)
    states = {one.name: one.state for one in known_detection(data_root)}
    assert states == {"coco": "absent", "mini/scenes": "embedded", "voc0712": "absent"}
    (data_root / "coco" / "train2017").mkdir()
    for name in (
        "VOC2007/ImageSets/Main/test",
        "VOC2007/ImageSets/Main/trainval",
        "VOC2012/ImageSets/Main/trainval",
    ):
        path = data_root / "voc0712" / "VOCdevkit" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("000001\n")
    known = known_detection(data_root)
    assert [one.name for one in known] == list(DETECTION) == ["coco", "voc0712", "mini/scenes"]
    assert [one.classes for one in known] == [80, 20, 6]
    assert [one.images for one in known] == [123_287, 21_503, 600]
    assert [one.state for one in known] == ["partial", "ready", "embedded"]
    assert [one.size_bytes for one in known] == [0, 21, None], "of what is there"
    assert all(one.licence for one in known)
    assert [one.state for one in known_detection()] == ["absent", "absent", "embedded"]
    assert all(one.description and one.domain == "detection" for one in known)


def test_a_detection_set_has_no_labels_to_probe(data_root):
    for ask in (lambda: expand_datasets(["mini/scenes"]), lambda: open_dataset("coco:x", root=data_root)):
        with pytest.raises(UsageError, match=r"is a detection set: its images have boxes instead of class labels"):
            ask()


def test_detection_sets_are_listed_with_boxes(tmp_path):
    (tmp_path / "a, b").mkdir()
    specs = ["coco, mini/digits", "coco", f"voc0712:{tmp_path / 'a, b'}"]
    assert expand_datasets(specs, boxed=True) == ["coco", "mini/digits", f"voc0712:{tmp_path / 'a, b'}"]
    with pytest.raises(UnknownNameError, match=r"No data set named 'vocc0712'\. Did you mean 'voc0712'\?"):
        expand_datasets(["vocc0712"], boxed=True)
    with pytest.raises(UsageError, match=r"Choose from: mini, .*, coco, voc0712, mini/scenes\."):
        expand_datasets([], boxed=True)
    with pytest.raises(UsageError, match=r"coco is a detection set and cannot have the budget shots=5"):
        expand_datasets(["coco@shots=5"], boxed=True)


def test_unknown_names(data_root):
    with pytest.raises(UnknownNameError, match=r"No detection set named 'mini/scene'\. Did you mean 'mini/scenes'"):
        open_detection("mini/scene", root=data_root)


def test_splits_by_name(tmp_path):
    dataset = DetectionDataset("tiny", {"train": 1, "val": 2}, (3, 7))
    assert dataset.split("val") == 2
    assert dataset.label_of_category == {3: 0, 7: 1}
    assert dataset.scored_on == "val"
    assert DetectionDataset("tiny", {"val": 1, "test": 2}, ()).scored_on == "test"
    with pytest.raises(DataError, match=r"tiny has no split 'test'\. Choose from: train, val"):
        dataset.split("test")
