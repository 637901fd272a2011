"""``coco``: Microsoft COCO 2017 in its original layout [1].

The folder contains ``annotations/instances_train2017.json``, ``annotations/instances_val2017.json``, ``train2017``
and ``val2017``. Train is train2017; results are published on val2017, which is val.

[1] Lin et al., Microsoft COCO: common objects in context, ECCV 2014.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...core.errors import DataError
from ...download.publication import Download, top_of
from .boxed import DETECTION, Annotation, ImageBoxes
from .checking import FaultList, finite_number, flag, whole_number
from .listing import BoxListing, ListedImage, PublishedBoxes
from .opening import BoxesOpener

SPLITS = {"train": "train2017", "val": "val2017"}


def read(folder: Path) -> BoxListing:
    """List ``train2017/000000000009.jpg`` and so on from ``annotations/instances_train2017.json``.

    Raises: DataError: If a file is missing or not a COCO annotation, or if the categories of the files differ.
    """
    root = top_of(COCO, folder)
    rows = {}
    categories: dict[int, str] = {}
    for name, part in SPLITS.items():
        path = root / "annotations" / f"instances_{part}.json"
        content = _content(path)
        found = _categories(path, content)
        if categories and found != categories:
            raise DataError(f"{path} has other categories than the file of train. Use files of one release.")
        categories = found
        rows[name] = partial(_rows, content, part, categories)
    return BoxListing(root, tuple(categories.values()), tuple(categories), rows)


_URL = "http://images.cocodataset.org"

COCO = PublishedBoxes(
    name="coco",
    domain="detection",
    n_classes=80,
    counts={"train": 118_287, "val": 5_000},
    licence="annotations CC BY 4.0, images Flickr terms of use",
    citation="Lin et al., Microsoft COCO: common objects in context, ECCV 2014",
    homepage="https://cocodataset.org",
    layout="train2017/*.jpg, val2017/*.jpg, annotations/instances_train2017.json, instances_val2017.json",
    split_rule="train2017 and val2017, on which results are published; coco:PATH is another folder",
    read=read,
    marks=(*(f"annotations/instances_{part}.json" for part in SPLITS.values()), *SPLITS.values()),
    downloads=(
        Download(
            f"{_URL}/zips/train2017.zip",
            "train2017.zip",
            19_336_861_798,
            "md5:cced6f7f71b7629ddf16f17bbcfab6b2",
        ),
        Download(f"{_URL}/zips/val2017.zip", "val2017.zip", 815_585_330, "md5:442b8da7639aecaf257c1dceb8ba8c80"),
        Download(
            f"{_URL}/annotations/annotations_trainval2017.zip",
            "annotations_trainval2017.zip",
            252_907_541,
            "md5:f4bbac642086de4f52a3fdda2de5fa2c",
        ),
    ),
    size_bytes=21_000_000_000,
    flaws={"no area": 2},
)

DETECTION.register(COCO.name)(BoxesOpener(COCO))


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}). Unpack annotations_trainval2017.zip there."
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON; the download may be incomplete. Fetch it again.") from error
    lists = ("images", "annotations", "categories")
    if not (isinstance(content, dict) and all(_is_list_of_objects(content.get(name)) for name in lists)):
        raise DataError(f"{path} is not a COCO annotation: it lacks the lists {', '.join(lists)}.")
    return content


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _categories(path: Path, content: Mapping[str, Any]) -> dict[int, str]:
    """Map category ids to names, sorted by id."""
    found: dict[int, str] = {}
    for one in content["categories"]:
        number, name = whole_number(one.get("id")), _class_name(one.get("name"))
        if number is None or not name:
            raise DataError(f"{path} has a category without id or name: {json.dumps(one)}. Correct the file.")
        if name in found.values() and number not in found:
            raise DataError(
                f"{path} has two categories with the name {name!r}. Give them different names, or the same id."
            )
        found[number] = name
    if not found or len(found) < len(content["categories"]):
        raise DataError(f"{path} has no category, or two with one id. Take the file from the published archive.")
    return dict(sorted(found.items()))


def _class_name(value: Any) -> str:
    """Return the name of a category without surrounding blanks; empty if there is none."""
    named = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value).strip() if named else ""


def _rows(
    content: Mapping[str, Any], part: str, categories: Mapping[int, str], faults: FaultList
) -> Iterator[ListedImage]:
    """Yield the images of a part, sorted by file name."""
    label_of = {category: label for label, category in enumerate(categories)}
    annotations = defaultdict(list)
    for one in content["annotations"]:
        annotations[_image_key(one.get("image_id"))].append(one)
    images = _images(content["images"], part, faults)
    for key in sorted(annotations.keys() - images.keys(), key=str):
        faults.add(f"{part} image {key}", "annotation of an unlisted image")
    for key, image in sorted(images.items(), key=lambda item: _path(part, item[1])):
        path = _path(part, image)
        if not _is_name(image.get("file_name")):
            faults.add(path, "no file name")
            continue
        height, width = whole_number(image.get("height")), whole_number(image.get("width"))
        if height is None or width is None or min(height, width) < 1:
            faults.add(path, "no image size", f"{image.get('width')}×{image.get('height')}")
            continue
        annotations_of_image = [
            annotation
            for one in sorted(annotations[key], key=lambda one: str(one.get("id")))
            if (annotation := _annotation(one, path, (height, width), label_of, faults)) is not None
        ]
        yield ListedImage(path, height, width, ImageBoxes.of(annotations_of_image))


def _images(listed: Sequence[Mapping[str, Any]], part: str, faults: FaultList) -> dict[str, Mapping[str, Any]]:
    """Map image keys to images."""
    images: dict[str, Mapping[str, Any]] = {}
    for one in listed:
        key = _image_key(one.get("id"))
        if key is None or key in images:
            kind = "no image id" if key is None else "image id twice"
            faults.add(_path(part, one), kind, str(one.get("id")))
            continue
        images[key] = one
    return images


def _image_key(value: Any) -> str | None:
    """Normalize the image id that joins images and annotations: 1, 1.0 and "1" are equal, "0001" is different."""
    number = whole_number(value)
    if isinstance(value, str) and not (number is not None and value.strip().startswith(str(number))):
        return value
    return None if number is None else str(number)


def _path(part: str, image: Mapping[str, Any]) -> str:
    """Return the path of an image relative to the root; ``./`` in its name is removed."""
    names = str(image.get("file_name")).split("/")
    return "/".join([part, *(name for name in names if name != ".")])


def _is_name(value: Any) -> bool:
    """Return whether a file name is valid and inside the folder of the part."""
    return isinstance(value, str) and value.strip("./") != "" and not {"", ".."} & set(value.split("/"))


def _annotation(
    one: Mapping[str, Any], path: str, size: tuple[int, int], label_of: Mapping[int, int], faults: FaultList
) -> Annotation | None:
    """Parse an annotation; return None if it is invalid.

    Raises: DataError: If ``iscrowd`` is neither 0 nor 1.
    """
    where = f"{path} annotation {one.get('id')}"
    crowd = flag(one.get("iscrowd", 0), f"{faults.name}: iscrowd of {where}")
    category = whole_number(one.get("category_id"))
    if category is None or category not in label_of:
        faults.add(where, "unknown category", str(one.get("category_id")))
        return None
    listed = one.get("bbox")
    values = [finite_number(value) for value in listed] if isinstance(listed, list) else []
    sides = [value for value in values if value is not None]
    own = one.get("area")
    area = None if own is None else finite_number(own)
    if len(sides) != 4 or len(values) != 4 or (own is not None and (area is None or area < 0)):
        faults.add(where, "no box", f"{listed}, area {own}")
        return None
    left, top, width, height = sides
    box = (left, top, left + width, top + height)
    if not faults.accepts(where, box, *size):
        return None
    return Annotation(box, label_of[category], crowd=crowd, area=area)
