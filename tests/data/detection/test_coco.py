import json

import numpy as np
import pytest
from PIL import Image

from tests.data.detection.trees import CATEGORIES, marked
from transferkit.core.errors import DataError
from transferkit.data.detection import open_detection


@pytest.fixture
def coco(data_root):
    """Two images a split; the second has no objects. Returns the folder and a way to rewrite a file."""
    folder = data_root / "coco"
    (folder / "annotations").mkdir(parents=True)

    def write(part, annotations, **changes):
        images = [
            {"id": 700 + number, "file_name": f"{number:012}.jpg", "height": 10, "width": 16} for number in (2, 1)
        ]
        content = {
            "info": {},
            "images": images,
            "annotations": annotations,
            "categories": CATEGORIES,
            **changes,
        }
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))

    for part in ("train2017", "val2017"):
        (folder / part).mkdir()
        for number in (1, 2):
            Image.new("RGB", (16, 10), (100 * number, 0, 0)).save(folder / part / f"{number:012}.jpg")
        write(part, [
            marked(12, 701, [1, 2, 3, 4], 90, area=6.5),
            marked(11, 701, [0, 0, 16.4, 10], 13, crowd=1),
        ])  # fmt: skip
    return folder, write


def test_the_original_layout(coco, data_root):
    dataset = open_detection("coco", root=data_root)
    assert dataset.classes == ("person", "stop sign", "toothbrush")
    assert dataset.category_ids == (1, 13, 90)
    assert dataset.label_of_category == {1: 0, 13: 1, 90: 2}
    assert dataset.scored_on == "val"
    split = dataset.split("val")
    assert split.ids == ("val2017/000000000001.jpg", "val2017/000000000002.jpg"), "sorted"
    assert split.sizes.tolist() == [[10, 16]] * 2
    first, second = split.objects
    assert first.boxes[:, :2].tolist() == [[0, 0], [1, 2]], "in the order of the annotations' ids"
    assert first.boxes[:, 2:].tolist() == pytest.approx(np.array([[16.4, 10], [4, 6]])), "as annotated"
    assert first.labels.tolist() == [1, 2]
    assert first.crowd.tolist() == [True, False]
    assert first.areas.tolist() == pytest.approx([164, 6.5])
    assert len(second) == 0
    assert split.reader.image(1)[0, 0, 0] > 190


def test_a_folder_elsewhere(coco, data_root, tmp_path):
    dataset = open_detection(f"coco:{coco[0]}", root=tmp_path / "other")
    assert dataset.spec == f"coco:{coco[0]}"


def test_the_order_of_the_file_does_not_matter(coco, data_root):
    _, write = coco
    annotations = [marked(1, 701, [1, 2, 3, 4]), marked(2, 702, [2, 2, 3, 3])]
    write("val2017", annotations)
    before = open_detection("coco", root=data_root).split("val").fingerprint
    write("val2017", annotations[::-1])
    assert open_detection("coco", root=data_root).split("val").fingerprint == before
    write("val2017", [marked(1, 701, [1, 2, 3, 4], crowd=1), annotations[1]])
    assert open_detection("coco", root=data_root).split("val").fingerprint != before


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (marked(5, 701, [-5, 0, 5, 5]), "box outside the image"),
        (marked(5, 701, [16, 0, 9, 5]), "box outside the image"),
        (marked(5, 701, [3, 3, 0, 5]), "no area"),
        (marked(5, 701, [3, 3, 5, 5], 2), "unknown category"),
        (marked(5, 701, [3, 3, 5, 5], None), "unknown category"),
        (marked(5, 701, [3, 3, 5]), "no box"),
        (marked(5, 701, None), "no box"),
        (marked(5, 999, [3, 3, 5, 5]), "annotation of an unlisted image"),
        (marked(5, [1], [3, 3, 5, 5]), "annotation of an unlisted image"),
        (marked(5, 701, "1234"), "no box"),
        (marked(5, 701, [3, 3, 5, 5], area=float("nan")), "no box"),
        (marked(5, 701, [3, 3, 5, 5], area=-5), "no box"),
        (marked(5, 701, [3, 3, 5, 5], True), "unknown category"),
        (marked(5, 701, [3, 3, 5, 5], 1.5), "unknown category"),
        (marked(5, 701, [3, 3, 5, True]), "no box"),
        (marked(5, 701, [3, 3, 5, 5, 5]), "no box"),
        (marked(5, 701, [3, 3, 5, 5], area=[1, 2]), "no box"),
        (marked(5, True, [3, 3, 5, 5]), "annotation of an unlisted image"),
        (marked(5, None, [3, 3, 5, 5]), "annotation of an unlisted image"),
    ],
)
def test_broken_annotations(coco, data_root, broken, kind):
    _, write = coco
    write("val2017", [broken, marked(6, 701, [1, 1, 2, 2])])
    split = open_detection("coco", root=data_root).split("val")
    assert [fault.kind for fault in split.faults] == [kind]
    assert [len(one) for one in split.objects] == [1, 0]
    with pytest.raises(DataError, match=f"coco val: .*{kind}"):
        open_detection("coco", root=data_root, on_error="stop")


@pytest.mark.parametrize("value", [0, False, "0", 0.0])
def test_a_box_that_is_no_crowd_in_any_type_is_none(coco, data_root, value):
    coco[1]("val2017", [marked(5, 701, [3, 3, 5, 5], crowd=value), marked(6, 701, [3, 3, 5, 5], crowd="1")])
    split = open_detection("coco", root=data_root).split("val")
    assert split.objects[0].crowd.tolist() == [False, True]
    assert split.faults == ()


def test_an_annotation_without_iscrowd_is_no_crowd(coco, data_root):
    plain = {name: value for name, value in marked(5, 701, [3, 3, 5, 5]).items() if name != "iscrowd"}
    coco[1]("val2017", [plain])
    assert open_detection("coco", root=data_root).split("val").objects[0].crowd.tolist() == [False]


@pytest.mark.parametrize("value", [2, "no", None])
def test_another_iscrowd_is_an_error_that_names_the_value(coco, data_root, value):
    coco[1]("val2017", [marked(5, 701, [3, 3, 5, 5], crowd=value)])
    with pytest.raises(DataError, match=rf"iscrowd of .*1\.jpg annotation 5 is {value!r}: 0, 1, false and true"):
        open_detection("coco", root=data_root)


def test_values_of_other_types_mean_what_they_say(coco, data_root):
    """Pandas and other writers save numbers as floats, texts or booleans."""
    _, write = coco
    plain = marked(5, 701, [5, 6, 10, 3], 90, area=150)
    size = {"height": 10, "width": 16}
    images = [{"id": 701, "file_name": "000000000001.jpg", **size}]
    write("val2017", [plain], images=images)
    expected = open_detection("coco", root=data_root).split("val")
    assert len(expected.objects[0]) == 1
    odd = {
        "category_id": "90",
        "image_id": 701.0,
        "bbox": ["5", 6.0, 10, "3"],
        "area": [150.0],
        "iscrowd": "0",
    }
    for change in ({"category_id": 90.0}, {"image_id": "701"}, odd):
        write("val2017", [{**plain, **change}], images=images)
        assert open_detection("coco", root=data_root).split("val").fingerprint == expected.fingerprint
    for change in (
        {"id": 701.0},
        {"id": "701"},
        {"height": 10.0, "width": "16"},
        {"file_name": "./000000000001.jpg"},
    ):
        write("val2017", [plain], images=[{**images[0], **change}])
        split = open_detection("coco", root=data_root).split("val")
        assert split.fingerprint == expected.fingerprint
        assert split.faults == ()


def test_text_ids_with_leading_zeros_are_names(coco, data_root):
    size = {"height": 10, "width": 16}
    images = [
        {"id": "01", "file_name": "000000000001.jpg", **size},
        {"id": 1, "file_name": "000000000002.jpg", **size},
    ]
    coco[1]("val2017", [marked(5, "01", [3, 3, 5, 5]), marked(6, 1.0, [1, 1, 5, 5])], images=images)
    split = open_detection("coco", root=data_root).split("val")
    assert [one.boxes[:, 0].tolist() for one in split.objects] == [[3], [1]]


def test_a_box_over_the_edge_is_kept_as_annotated(coco, data_root, notes):
    coco[1]("val2017", [marked(5, 701, [-3, 2, 9, 11]), marked(6, 701, [4, 4, 12.5, 6])])
    split = open_detection("coco", root=data_root, on_error="stop", reporter=notes).split("val")
    assert split.objects[0].boxes.tolist() == [[-3, 2, 6, 13], [4, 4, 16.5, 10]]
    assert any("coco val: 1 boxes extend over the edge of their image, by up to 3 pixels" in n for n in notes.notes)


def test_two_categories_of_one_name_are_refused(coco, data_root):
    twice = [*CATEGORIES, {"id": 7, "name": " person"}]
    for part in ("train2017", "val2017"):
        coco[1](part, [], categories=twice)
    with pytest.raises(DataError, match=r"has two categories with the name 'person'\. Give them different names"):
        open_detection("coco", root=data_root)


@pytest.mark.parametrize("broken", [{"id": 1.5}, {"id": True}, {"id": None}, {"name": None}, {"name": " "}])
def test_categories_without_id_or_name_are_refused(coco, data_root, broken):
    coco[1]("train2017", [], categories=[{"id": 1, "name": "person", **broken}])
    with pytest.raises(DataError, match=r"has a category without id or name: \{"):
        open_detection("coco", root=data_root)


def test_a_folder_is_no_image(coco, data_root):
    path = coco[0] / "val2017" / "000000000001.jpg"
    path.unlink()
    path.mkdir()
    split = open_detection("coco", root=data_root).split("val")
    assert [(fault.kind, fault.detail) for fault in split.faults] == [("missing image", "it is not a file")]


def test_images_that_are_missing_or_have_no_size(coco, data_root, notes):
    folder, write = coco
    (folder / "val2017" / "000000000001.jpg").unlink()
    split = open_detection("coco", root=data_root, reporter=notes).split("val")
    assert split.ids == ("val2017/000000000002.jpg",)
    assert [fault.kind for fault in split.faults] == ["missing image"]
    write("val2017", [], images=[{"id": 702, "file_name": "000000000002.jpg", "height": 0, "width": 16}])
    with pytest.raises(DataError, match=r"no image; .*000000000002\.jpg: no image size \(16×0\)"):
        open_detection("coco", root=data_root)


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        ({"id": None}, "no image id"),
        ({"id": [1]}, "no image id"),
        ({"id": 701}, "image id twice"),
        ({"file_name": "../train2017/000000000002.jpg"}, "no file name"),
        ({"file_name": 2}, "no file name"),
        ({"file_name": "a\0b"}, "missing image"),
        ({"file_name": "000000000001.jpg"}, "listed twice"),
    ],
)
def test_invalid_images_are_rejected(coco, data_root, second, kind):
    size = {"height": 10, "width": 16}
    first = {"id": 701, "file_name": "000000000001.jpg", **size}
    coco[1]("val2017", [], images=[first, {"id": 702, "file_name": "000000000002.jpg", **size, **second}])
    split = open_detection("coco", root=data_root).split("val")
    assert split.ids == ("val2017/000000000001.jpg",)
    assert [fault.kind for fault in split.faults] == [kind]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not valid JSON; the download may be incomplete"),
        ("[]", "is not a COCO annotation: it lacks the lists images, annotations, categories"),
        ('{"images": [], "annotations": {}, "categories": []}', "is not a COCO annotation"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "a category without id or name"),
        ('{"images": ["x"], "annotations": [], "categories": []}', "is not a COCO annotation"),
        ('{"images": [], "annotations": [], "categories": []}', "has no category, or two with one id"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": 1}, {"id": 1, "name": 1}]}',
            "has no category, or two with one id",
        ),
        (None, r"instances_train2017\.json cannot be read \(No such file.*Unpack annotations_trainval2017"),
    ],
)
def test_other_files(coco, data_root, text, words):
    path = coco[0] / "annotations" / "instances_train2017.json"
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises(DataError, match=words):
        open_detection(f"coco:{coco[0]}", root=data_root)


def test_an_incomplete_set_is_an_error(coco, data_root):
    (coco[0] / "annotations/instances_val2017.json").unlink()
    with pytest.raises(DataError, match=r"coco is incomplete: .*instances_val2017.json, .*datasets prepare coco"):
        open_detection("coco", root=data_root)


def test_a_folder_around_it_does_no_harm(coco, data_root):
    before = open_detection("coco", root=data_root)
    (data_root / "again").mkdir()
    coco[0].rename(data_root / "again" / "coco2017")
    (data_root / "again").rename(coco[0])
    after = open_detection("coco", root=data_root)
    assert after.split("val").fingerprint == before.split("val").fingerprint
    assert open_detection(f"coco:{coco[0]}", root=data_root).spec == f"coco:{coco[0] / 'coco2017'}"


def test_two_releases_that_disagree(coco, data_root):
    coco[1]("val2017", [], categories=CATEGORIES[:2])
    with pytest.raises(DataError, match=r"instances_val2017\.json has other categories than the file of train"):
        open_detection("coco", root=data_root)
