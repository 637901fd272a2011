"""NWPU-RESISC45: aerial scenes, 700 images of 256×256 per class."""

from pathlib import Path

from ..data.published import PUBLISHED, Listing, Published
from ..download.publication import Download
from .contents import Contents, class_folders


def read(folder: Path) -> Listing:
    """List ``NWPU-RESISC45/airplane/airplane_001.jpg``."""
    return class_folders(Contents.of(folder))


PUBLISHED.register("resisc45")(
    Published(
        name="resisc45",
        domain="satellite",
        n_classes=45,
        counts={"all": 31_500},
        licence="none stated; published for research",
        citation="Cheng, Han and Lu, Remote sensing image scene classification: benchmark and state of the "
        "art, Proceedings of the IEEE 2017",
        homepage="https://doi.org/10.1109/jproc.2017.2675998",
        layout="NWPU-RESISC45/CLASS/*.jpg",
        split_rule="70 % train, 30 % test of each class, by the SHA-256 of resisc45/ID",
        read=read,
        marks=("airplane", "beach"),
        class_folders=True,
        downloads=(
            Download(
                "https://hf.co/datasets/isaaccorley/resisc45/resolve/"
                "883edc0eee77b2c84225472f10f126e3ed83fa6e/NWPU-RESISC45.zip",
                "NWPU-RESISC45.zip",
                digest="sha256:beeecd0b63656290ae6d65cf7763185b0c1c4c54a753ef8088d6fba3faaf1f53",
            ),
        ),
        size_bytes=425_000_000,
    )
)
