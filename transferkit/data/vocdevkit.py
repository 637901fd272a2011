"""Common parts of the PASCAL VOC readers: the classes, the archives, and the parser of image lists [1].

[1] Everingham et al., The PASCAL visual object classes challenge: a retrospective, IJCV 2015.
"""

from pathlib import Path

from ..core.errors import DataError
from ..download.publication import Download

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person",
    "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

HOMEPAGE = "http://host.robots.ox.ac.uk/pascal/VOC"
LICENCE = "Flickr terms of use"
CITATION = "Everingham et al., The PASCAL visual object classes challenge: a retrospective, IJCV 2015"

DOWNLOADS_2007 = (
    Download(
        f"{HOMEPAGE}/voc2007/VOCtrainval_06-Nov-2007.tar",
        "VOCtrainval_06-Nov-2007.tar",
        460_032_000,
        "md5:c52e279531787c972589f7e41ab4ae64",
    ),
    Download(
        f"{HOMEPAGE}/voc2007/VOCtest_06-Nov-2007.tar",
        "VOCtest_06-Nov-2007.tar",
        451_020_800,
        "md5:b6e924de25625d8de591ea690078ad9f",
    ),
)
DOWNLOADS_2012 = (
    Download(
        f"{HOMEPAGE}/voc2012/VOCtrainval_11-May-2012.tar",
        "VOCtrainval_11-May-2012.tar",
        1_999_639_040,
        "md5:6cd6e144f989b92b3379bac3b3de84fd",
    ),
)


def read_list(path: Path) -> dict[str, tuple[str, ...]]:
    """Read an image list as name → other fields of its line; of a repeated name, the last line is used.

    Raises: DataError: If the list is missing or cannot be read.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing. Unpack the archive that contains it.") from error
    except (OSError, UnicodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Take it from the published archive.") from error
    rows = (line.split() for line in lines if line.strip())
    return {name: tuple(rest) for name, *rest in rows}
