"""Benchmark of opening 100 000 files: the first time, when every file is hashed, and the second time.

The files are opened as ``folder:PATH`` and as a published set of the same layout.
"""

import os
import tempfile
import time
from pathlib import Path

from transferkit.protocols.dataset_catalog import open_dataset

FILES = 100_000
CLASSES = ("airplane", "beach", *(f"class{number:02}" for number in range(98)))
OLD_SECONDS = 60  # a file changed lately may change again, and is not remembered


def main() -> None:
    """Print the seconds."""
    with tempfile.TemporaryDirectory() as place:
        root, folder = Path(place, "data"), Path(place, "data", "resisc45")
        _write(folder)
        time.sleep(3)
        for spec in (f"folder:{folder}", "resisc45"):
            for turn in ("first", "second"):
                print(f"{FILES} files as {spec.partition(':')[0]:8} {turn:6} {_seconds(spec, root):6.2f} s")


def _write(folder: Path) -> None:
    then = time.time() - OLD_SECONDS
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(FILES // len(CLASSES)):
            path = folder / name / f"{number:05}.jpg"
            path.write_bytes(f"{name} {number}".encode())
            os.utime(path, (then, then))


def _seconds(spec: str, root: Path) -> float:
    started = time.perf_counter()
    open_dataset(spec, root=root)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
