"""CropDisease: leaves of 14 crops, healthy and diseased, photographed one by one (PlantVillage).

The published copy is not augmented, and its editor divided it into ``train`` and ``test``. Photographs of one leaf
can be in both.
"""

from pathlib import Path

from ..data.published import PUBLISHED, Listing, Published, Rows
from .contents import Contents, images_by_path_end


def read(folder: Path) -> Listing:
    """List ``train/CLASS/x.jpg`` and ``test/CLASS/y.jpg``, in any outer folder."""
    contents = Contents.of(folder)
    placed = images_by_path_end(contents, 3)
    ids_of_split = {split: [one for one in sorted(placed) if one.startswith(f"{split}/")] for split in _SPLITS}
    classes = tuple(sorted({one.split("/")[1] for one in ids_of_split["train"]}))
    number = {name: label for label, name in enumerate(classes)}
    parts: dict[str, Rows] = {}
    for split, ids in ids_of_split.items():
        if not ids:
            raise contents.missing(f"images in {split}/CLASS")
        if foreign := {one.split("/")[1] for one in ids} - number.keys():
            raise contents.missing(f"the class {min(foreign)!r} in train, which {split} has")
        parts[split] = {one: number[one.split("/")[1]] for one in ids}
    return Listing(parts, classes, paths=placed)


_SPLITS = ("train", "test")

PUBLISHED.register("cropdisease")(
    Published(
        name="cropdisease",
        domain="natural",
        n_classes=38,
        counts={"train": 43_456, "test": 10_849},
        licence="CC BY-SA 3.0, by the paper of PlantVillage; the copy on Kaggle may state its own",
        citation="Hughes and Salathé, An open access repository of images on plant health to enable the "
        "development of mobile disease diagnostics, arXiv 1511.08060, 2015; split of Mohanty et al., "
        "Using deep learning for image-based plant disease detection, Frontiers in Plant Science 2016",
        homepage="https://www.kaggle.com/saroz014/plant-disease",
        layout="dataset/train/CLASS/*.JPG, dataset/test/CLASS/*.JPG",
        split_rule="train and test as published",
        read=read,
        marks=("train/Apple___Apple_scab", "test/Apple___Apple_scab"),
        class_folders=True,
        steps=(
            "Log in to Kaggle and download https://www.kaggle.com/saroz014/plant-disease (about 2 GB).",
            "Run: transferkit datasets prepare cropdisease --from archive.zip",
        ),
    )
)
