"""EuroSAT: land use in 64×64 patches of Sentinel-2 images, the RGB version."""

from pathlib import Path

from ..data.published import PUBLISHED, Listing, Published
from ..download.publication import Download
from .contents import Contents, class_folders


def read(folder: Path) -> Listing:
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
        read=read,
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
