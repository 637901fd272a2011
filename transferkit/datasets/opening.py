"""Opening of published data sets: listing, splits and fingerprints.

A data set without an official split is split by the SHA-256 of ``NAME/ID``. This rule replaces a frozen list: it
does not depend on the version of a random generator, and tests compare its result with a digest. Frozen lists
would need the archives, which not everyone can obtain or redistribute. A changed archive gives another split, and
its fingerprint, which ``datasets verify`` prints and every record contains, differs.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, UsageError
from ..core.files import digest_of
from ..core.labels import stratify_labels
from ..core.progress import SILENT, Reporter
from ..core.splitting import hashed_split
from ..core.wording import counted
from ..data.dataset import Dataset, Reader, Split
from ..data.fingerprints import Stamp, content_digests, fingerprint_of
from ..data.folder import FolderReader
from ..data.published import WHOLE, Label, Listing, Published
from ..download.publication import require_present

STUDY = {"train": 0.7, "test": 0.3}
"""Fractions of the study for a data set without an official split; they must not change, for comparability."""

_ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class PublishedOpener:
    """Opens one published data set from ``<data folder>/<name>``.

    Attributes:
        published: Publication of the data set.
    """

    published: Published

    def __call__(self, rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
        """Open the data set as ``Opener`` does; ``seed`` has no effect, because the split is fixed.

        Raises:
            UsageError: If the data set does not have the option.
            DataError: If the data set is absent, or the folder has another layout.
        """
        if rest and rest not in self.published.options:
            raise _no_option(self.published, rest)
        published = self.published.reading(rest)
        folder = root / published.name
        require_present(self.published, folder)
        listing = published.read(folder)
        spec = published.name if published.read is self.published.read else f"{published.name}:{rest}"
        for note in (*listing.notes, *_count_notes(published, listing, spec)):
            reporter.note(f"{published.name}: {note}")
        splits = open_listing(listing, folder, spec, cache_dir=root / "fingerprints", reporter=reporter)
        return Dataset(spec, splits, published.domain, published.homepage, published.licence)


def _count_notes(published: Published, listing: Listing, spec: str) -> list[str]:
    """Note a difference from the published number of images, such as after an incomplete download."""
    found, stated = sum(map(len, listing.parts.values())), sum(published.counts.values())
    if found == stated:
        return []
    advice = f"Check with: transferkit datasets verify {spec}"
    return [f"{counted(found, 'image')}, not the published {stated}. {advice}"]


def open_listing(
    listing: Listing, folder: Path, spec: str, *, cache_dir: Path, reporter: Reporter = SILENT
) -> dict[str, Split]:
    """Open the splits of a listing, in the order train, val, test.

    Args:
        listing: Listing of ``folder``.
        folder: Folder that paths are relative to.
        spec: Spec of the data set; without an official split, its name without option determines the split.
        cache_dir: Folder of cached file digests.
        reporter: Receives the progress of hashing.

    Raises: DataError: If a split would be empty.
    """
    parts = split_rows(listing, spec.partition(":")[0])
    for name in ("train", "test"):
        if name in parts and not parts[name]:
            raise DataError(f"{folder}: the split {name} of {spec} has no image. Unpack the archive again.")
    paths = {one: listing.paths.get(one, one) for rows in parts.values() for one in rows}
    stamps = {path: _stamp(folder / path) for path in listing.files or paths.values()}
    cache_file = cache_dir / f"{digest_of([str(folder), spec])[:32]}.json"
    digests = content_digests(folder, stamps, cache_file=cache_file, reporter=reporter)
    splits = {}
    for name in sorted(parts, key=_ORDER.index):
        ids, labels = tuple(parts[name]), np.array(list(parts[name].values()), np.int64)
        contents = [digests[one] for one in listing.files or [paths[i] for i in ids]]
        splits[name] = Split(
            dataset=spec,
            name=name,
            ids=ids,
            labels=labels,
            classes=listing.classes,
            fingerprint=fingerprint_of(ids, labels, listing.classes, contents),
            reader=_reader(listing, folder, ids, [stamps.get(paths[i]) for i in ids]),
        )
    return splits


def split_rows(listing: Listing, name: str) -> dict[str, dict[str, Label]]:
    """Return the official splits, or divide the only part 70/30 as the study does, by the hashes of the ids."""
    if set(listing.parts) != {WHOLE}:
        return {part: dict(rows) for part, rows in listing.parts.items()}
    rows = listing.parts[WHOLE]
    ids, labels = tuple(rows), np.array(list(rows.values()), np.int64)
    drawn = hashed_split(ids, stratify_labels(labels), tuple(STUDY.values()), name=name)
    return {part: {ids[i]: rows[ids[i]] for i in index} for part, index in zip(STUDY, drawn, strict=True)}


def _reader(listing: Listing, folder: Path, ids: Sequence[str], stamps: Sequence[Stamp | None]) -> Reader:
    if listing.reader is not None:
        return listing.reader(ids)
    return FolderReader(folder, tuple(listing.paths.get(one, one) for one in ids), _modified_ns(stamps))


def _modified_ns(stamps: Sequence[Stamp | None]) -> NDArray[np.int64]:
    return np.array([stamp.modified_ns if stamp else -1 for stamp in stamps], np.int64)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = os.stat(path)  # noqa: PTH116  (faster for 100 000 files)
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _no_option(published: Published, rest: str) -> UsageError:
    known: Mapping[str, object] = published.options
    if not known:
        return UsageError(f"{published.name} has no option {rest!r}. Remove it.")
    named = ", ".join(f"{published.name}:{option}" for option in known)
    return UsageError(f"{published.name} has no option {rest!r}. Choose from: {published.name}, {named}.")
