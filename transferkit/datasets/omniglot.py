"""Omniglot: characters of many alphabets, each drawn by twenty people; dark ink on white, as published.

``omniglot`` contains the 20 evaluation alphabets, as in the study; ``omniglot:all`` adds the 30 background alphabets.
Images are not inverted: for networks trained on light digits on black, the contrast is reversed.
"""

from collections.abc import Collection
from functools import partial
from pathlib import Path

from ..data.published import PUBLISHED, WHOLE, Listing, Option, Published
from ..download.publication import Download
from .contents import Contents, images_by_path_end


def read(folder: Path, folders: Collection[str] = ("images_evaluation",)) -> Listing:
    """List ``images_evaluation/ALPHABET/character01/0965_01.png``; a class is a character of an alphabet."""
    contents = Contents.of(folder)
    placed = images_by_path_end(contents, 4)
    paths: dict[str, str] = {}
    for name in folders:
        inside = {one.partition("/")[2]: path for one, path in placed.items() if one.startswith(f"{name}/")}
        if not inside:
            raise contents.missing(f"{name}/ALPHABET/CHARACTER/*.png")
        paths |= inside
    classes = tuple(sorted({one.rpartition("/")[0] for one in paths}))
    number = {name: label for label, name in enumerate(classes)}
    rows = {one: number[one.rpartition("/")[0]] for one in sorted(paths)}
    return Listing({WHOLE: rows}, classes, paths=paths)


_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"

PUBLISHED.register("omniglot")(
    Published(
        name="omniglot",
        domain="symbolic",
        n_classes=659,
        counts={"all": 13_180},
        licence="MIT",
        citation="Lake, Salakhutdinov and Tenenbaum, Human-level concept learning through probabilistic "
        "program induction, Science 2015",
        homepage="https://github.com/brendenlake/omniglot",
        layout="images_evaluation/ALPHABET/CHARACTER/*.png, images_background/… for omniglot:all",
        split_rule="70 % train, 30 % test of each character, by the SHA-256 of omniglot/ID",
        read=read,
        marks=("images_evaluation",),
        downloads=(
            Download(
                f"{_URL}/images_evaluation.zip",
                "images_evaluation.zip",
                6_462_886,
                "md5:6b91aef0f799c5bb55b94e3f2daec811",
            ),
            Download(
                f"{_URL}/images_background.zip",
                "images_background.zip",
                9_464_212,
                "md5:68d2efa1b9178cc56df9314c21c6e718",
            ),
        ),
        options={
            "all": Option(
                partial(read, folders=("images_evaluation", "images_background")),
                n_classes=1_623,
                counts={"all": 32_460},
            )
        },
        size_bytes=16_000_000,
    )
)
