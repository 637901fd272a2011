"""ImageNet-Sketch: black-and-white drawings of the 1000 classes of ImageNet."""

from pathlib import Path

from ..data.published import PUBLISHED, Listing, Published
from ..download.publication import Download
from .contents import Contents, class_folders


def read(folder: Path) -> Listing:
    """List ``sketch/n01440764/sketch_0.JPEG``; classes are WordNet ids, in the order of ImageNet."""
    return class_folders(Contents.of(folder))


PUBLISHED.register("sketch")(
    Published(
        name="sketch",
        domain="illustrative",
        n_classes=1000,
        counts={"all": 50_889},
        licence="MIT for the repository; the drawings come from image searches and keep their owners' rights",
        citation="Wang et al., Learning robust global representations by penalizing local predictive power, "
        "NeurIPS 2019",
        homepage="https://github.com/HaohanWang/ImageNet-Sketch",
        layout="sketch/SYNSET/*.JPEG",
        split_rule="70 % train, 30 % test of each class, by the SHA-256 of sketch/ID",
        read=read,
        marks=("n01440764",),
        class_folders=True,
        downloads=(
            Download(
                "https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data/ImageNet-Sketch.zip",
                "ImageNet-Sketch.zip",
                7_593_573_012,
                # from dataset_infos.json in Hugging Face's datasets, for this file of this repository
                "sha256:4d3ce6b82a7c48aabf14aeac105eb533e75707f152cc858f55bfc022031a72ed",
            ),
        ),
        size_bytes=8_200_000_000,
    )
)
