"""``folder:PATH``: images in one folder per class.

Layouts:

- ``PATH/cat/1.jpg``: a seeded, stratified 60 % train, 20 % val and 20 % test.
- ``PATH/train/cat/1.jpg`` and ``PATH/test``, with or without ``PATH/val``: used unchanged. ``valid`` and
  ``validation`` are other names of ``val``.
- ``PATH/train`` and ``PATH/val`` without ``PATH/test``: a stratified 20 % of train become test.
- ``PATH/train`` alone: divided as in the first layout.
- ``PATH/1.jpg`` without any folder: all images are train and have the one class ``unlabelled``. This suffices
  for pretraining without labels and for extraction.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, UsageError
from ..core.files import digest_of
from ..core.progress import SILENT, Reporter
from ..core.seeding import generator
from ..core.splitting import stratified_split
from .dataset import DATASETS, Dataset, Split
from .decoding import decode
from .fingerprints import content_digests, fingerprint_of
from .scanning import UNLABELLED, WHOLE, ClassImages, Scan, expected, scan

THREE_WAYS = {"train": 0.6, "val": 0.2, "test": 0.2}
TWO_WAYS = {"train": 0.8, "test": 0.2}

Rows = dict[str, int]
"""Id → label, sorted by id."""


@dataclass(frozen=True, eq=False)
class FolderReader:
    """Decodes files, and raises an error for files that changed after they were fingerprinted.

    Attributes:
        folder: Folder that the ids are relative to.
        ids: Image ids ``[n]``.
        modified_ns: Modification time of each file ``[n]`` in nanoseconds; −1 if unknown.
    """

    folder: Path
    ids: tuple[str, ...]
    modified_ns: NDArray[np.int64]

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode a row as ``Reader.image`` does.

        Raises: DataError: If the file changed after the folder was opened.
        """
        path = self.folder / self.ids[row]
        try:
            modified_ns = path.stat().st_mtime_ns
        except OSError:
            modified_ns = -1
        if modified_ns != self.modified_ns[row]:
            raise DataError(f"{path} changed after its folder was opened. Run the same command again.")
        return decode(path)


@DATASETS.register("folder")
def open_folder(rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
    """Open the data set of the images below the folder ``rest``.

    Raises:
        UsageError: If no path is given.
        DataError: If the folder does not exist, or its images do not form classes and splits.
    """
    if not rest:
        raise UsageError("folder: has no path. Give the path of a folder, as in folder:photos.")
    folder = absolute(rest)
    found = scan(folder)
    classes = _class_names(folder, found.parts)
    divided = _add_missing_splits(
        folder, {name: _rows(part, classes) for name, part in found.parts.items()}, classes, seed
    )
    _report_excluded(folder, found, reporter)
    cache_file = root / "fingerprints" / f"{digest_of(str(folder))[:32]}.json"
    digests = content_digests(folder, found.stamps, cache_file=cache_file, reporter=reporter)
    splits = {}
    for name, rows in divided.items():
        ids, labels = tuple(rows), np.fromiter(rows.values(), np.int64)
        stamps = [found.stamps[one] for one in ids]
        modified_ns = np.array([stamp.modified_ns if stamp else -1 for stamp in stamps], np.int64)
        splits[name] = Split(
            dataset=f"folder:{folder}",
            name=name,
            ids=ids,
            labels=labels,
            classes=classes,
            fingerprint=fingerprint_of(ids, labels, classes, [digests[one] for one in ids]),
            reader=FolderReader(folder, ids, modified_ns),
        )
    return Dataset(f"folder:{folder}", splits, source=str(folder))


def absolute(path: str) -> Path:
    """Make a path absolute, without ``~`` and ``..``; links are not resolved, so that their targets can move."""
    expanded = Path.home() / path[2:] if path.startswith("~/") else Path(path)
    return Path(os.path.normpath(expanded.absolute()))


def _class_names(folder: Path, parts: Mapping[str, ClassImages]) -> tuple[str, ...]:
    """Return the sorted class names of the first part.

    Raises: DataError: If there are fewer than two classes, or a later part has other classes or no images.
    """
    first = next(iter(parts))
    classes = tuple(sorted(parts[first]))
    for part in parts:
        if not any(parts[part].values()):
            where = folder if part == WHOLE or _unlabelled(parts) else f"{folder}: {part}"
            raise DataError(f"{where} holds no images in class folders. {expected(folder)}")
        if foreign := sorted(name for name, ids in parts[part].items() if ids and name not in classes):
            named = _some([repr(name) for name in foreign])
            raise DataError(
                f"{folder}: {part} has classes that {first} lacks: {named}. "
                f"Add images of them to {first}, or remove them from {part}."
            )
    if len(classes) == 1 and not _unlabelled(parts):
        raise DataError(f"{folder} has one class, {classes[0]!r}, but two or more are needed. {expected(folder)}")
    return classes


def require_class_folders(dataset: Dataset) -> None:
    """Check that a folder of images has class folders; without them it has neither labels nor a test split.

    Raises: DataError: If it has none; the message describes the supported layouts.
    """
    if dataset.spec.startswith("folder:") and tuple(dataset.classes) == (UNLABELLED,):
        raise DataError(f"{dataset.source} holds no images in class folders. {expected(Path(dataset.source))}")


def _unlabelled(parts: Mapping[str, Collection[str]]) -> bool:
    """Return whether the parts are those of a folder without class folders."""
    return list(parts) == ["train"] and UNLABELLED in parts["train"]


def _rows(part: ClassImages, classes: Sequence[str]) -> Rows:
    numbers = {name: number for number, name in enumerate(classes)}
    return dict(sorted((one, numbers[name]) for name, ids in part.items() if ids for one in ids))


def _add_missing_splits(folder: Path, parts: Mapping[str, Rows], classes: Sequence[str], seed: int) -> dict[str, Rows]:
    """Divide the images of train into the missing splits."""
    first, *later = parts
    if tuple(classes) == (UNLABELLED,):
        return dict(parts)
    fractions = {} if "test" in parts else TWO_WAYS if later else THREE_WAYS
    _require_each_class(folder, parts[first], classes, fewest=max(1, len(fractions)))
    if not fractions:
        return dict(parts)
    ids, labels = tuple(parts[first]), np.fromiter(parts[first].values(), np.int64)
    index = stratified_split(labels, tuple(fractions.values()), rng=generator(seed, "folder", "split"))
    drawn = {name: {ids[i]: int(labels[i]) for i in rows} for name, rows in zip(fractions, index, strict=True)}
    complete = {**parts, **drawn}
    return {name: complete[name] for name in THREE_WAYS}


def _require_each_class(folder: Path, rows: Rows, classes: Sequence[str], *, fewest: int) -> None:
    counts = np.bincount(np.fromiter(rows.values(), np.int64), minlength=len(classes))
    if few := [f"{name!r} ({count})" for name, count in zip(classes, counts, strict=True) if count < fewest]:
        raise DataError(
            f"{folder} has classes with too few images: {_some(few)}. "
            f"Each needs {fewest} or more in train: add images, or remove the folder."
        )


def _some(names: Sequence[str], *, most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _report_excluded(folder: Path, found: Scan, reporter: Reporter) -> None:
    """Report excluded files, missing labels and missing splits."""
    for names, why in ((found.unclassified, "in no class folder"), (found.non_images, "not an image by its name")):
        if names:
            reporter.note(f"{folder}: {len(names)} left out, {why}, such as {min(names)}")
    if _unlabelled(found.parts):
        reporter.note(f"{folder} has no class folders: its images have no labels, and all are train.")
    if "test" not in found.parts and "val" in found.parts:
        reporter.note(f"{folder} has no test folder: 20 % of train become test. To score on val, rename it to test.")
