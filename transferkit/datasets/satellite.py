"""Satellite images of the study: EuroSAT and RESISC45."""

from pathlib import Path

from ..data.published import PUBLISHED, Listing, Published
from ..download.publication import Download
from .contents import Contents, class_folders

# EuroSAT: land use in 64×64 patches of Sentinel-2 images, the RGB version.


def read_eurosat(folder: Path) -> Listing:
    """List ``2750/CLASS/CLASS_1.jpg``, or ``EuroSAT_RGB/…`` of the later archive; multispectral TIFFs are ignored."""
    return class_folders(Contents.of(folder), ending=".jpg")


PUBLISHED.register("eurosat")(
    Published(
        name="eurosat",
        domain="satellite",
        n_classes=10,
        counts={"all": 27_000},
        licence="MIT; contains modified Copernicus Sentinel data",
        citation="Helber et al., EuroSAT: a novel dataset and deep learning benchmark for land use and land "
        "cover classification, IEEE J-STARS 2019",
        homepage="https://github.com/phelber/eurosat",
        layout="2750/CLASS/*.jpg or EuroSAT_RGB/CLASS/*.jpg",
        split_rule="70 % train, 30 % test of each class, by the SHA-256 of eurosat/ID",
        read=read_eurosat,
        marks=("AnnualCrop", "SeaLake"),
        class_folders=True,
        downloads=(
            Download(
                "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
                "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                "EuroSAT.zip",
                94_280_567,
                "md5:c8fa014336c82ac7804f0398fcb19387",
            ),
        ),
        size_bytes=94_000_000,
    )
)


# NWPU-RESISC45: aerial scenes, 700 images of 256×256 per class.


def read_resisc45(folder: Path) -> Listing:
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
        read=read_resisc45,
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
