"""From a published set's folder to a data set: what lies there, how it is split, and what its bytes are.

A set without official split is split by a rule over its ids, the SHA-256 of ``NAME/ID``, which stands for a
frozen list: no random generator whose version could matter takes part, and tests hold the rule to a digest.
Lists themselves would need the archives, which not everyone can have or pass on. An archive that was changed
gives another split; its fingerprint, which ``datasets verify`` names and every record holds, says so.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError, UsageError
from ...core.files import digest_of
from ...core.labels import stratify_labels
from ...core.progress import SILENT, Reporter
from ...core.splitting import hashed_split
from ...core.wording import counted
from ..dataset import Dataset, Reader, Split
from ..fingerprints import Stamp, content_digests, fingerprint_of
from ..folder import FolderReader
from .published import WHOLE, Label, Listing, Publication, Published, state_of

STUDY = {"train": 0.7, "test": 0.3}
"""How the study divides a set without official split; numbers are compared by it, so it never changes."""

_ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class PublishedOpener:
    """Opens one published set from ``<data folder>/<name>``.

    Attributes:
        published: which.
    """

    published: Published

    def __call__(self, rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
        """As ``Opener``; ``seed`` changes nothing, as the split is fixed.

        Raises:
            UsageError: if the set has no such option.
            DataError: if the set is absent, or the folder is laid out in another way.
        """
        if rest and rest not in self.published.options:
            raise _no_option(self.published, rest)
        published = self.published.reading(rest)
        folder = root / published.name
        require_present(self.published, folder)
        listing = published.read(folder)
        spec = published.name if published.read is self.published.read else f"{published.name}:{rest}"
        for note in (*listing.notes, *_unlike(published, listing, spec)):
            reporter.note(f"{published.name}: {note}")
        splits = opened(listing, folder, spec, memory=root / "fingerprints", reporter=reporter)
        return Dataset(spec, splits, published.domain, published.homepage, published.licence)


def _unlike(published: Published, listing: Listing, spec: str) -> list[str]:
    """A note if there are more or fewer images than were published, as after half a download."""
    found, stated = sum(map(len, listing.parts.values())), sum(published.counts.values())
    if found == stated:
        return []
    look = f"Look closer: transferkit datasets verify {spec}"
    return [f"{counted(found, 'image')}, not the published {stated}. {look}"]


def require_present(published: Publication, folder: Path) -> None:
    """Refuse a folder that does not hold the set.

    Raises: DataError: saying how to get it.
    """
    state = state_of(published, folder)
    if state != "ready":
        what = "is not there" if state == "absent" else "is there only in part"
        raise DataError(
            f"{published.name} {what}: expected is {folder} with {published.expected}. "
            f"Get it with: transferkit datasets prepare {published.name}"
        )


def opened(listing: Listing, folder: Path, spec: str, *, memory: Path, reporter: Reporter = SILENT) -> dict[str, Split]:
    """The splits of a listing, in the order train, val, test.

    Args:
        listing: what ``folder`` holds.
        folder: which paths are relative to.
        spec: of the data set; its name without option also names the split where there is no official one.
        memory: folder for what is remembered of the files' bytes.
        reporter: told how far hashing has come.

    Raises: DataError: if a split would be empty.
    """
    parts = divided(listing, spec.partition(":")[0])
    for name in ("train", "test"):
        if name in parts and not parts[name]:
            raise DataError(f"{folder}: the split {name} of {spec} has no image. Unpack the archive again.")
    paths = {one: listing.paths.get(one, one) for rows in parts.values() for one in rows}
    stamps = {path: _stamp(folder / path) for path in listing.files or paths.values()}
    memo = memory / f"{digest_of([str(folder), spec])[:32]}.json"
    digests = content_digests(folder, stamps, memo=memo, reporter=reporter)
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


def divided(listing: Listing, name: str) -> dict[str, dict[str, Label]]:
    """The official parts, or the study's 70/30 of the only part, by the hashes of the ids."""
    if set(listing.parts) != {WHOLE}:
        return {part: dict(rows) for part, rows in listing.parts.items()}
    rows = listing.parts[WHOLE]
    ids, labels = tuple(rows), np.array(list(rows.values()), np.int64)
    cut = hashed_split(ids, stratify_labels(labels), tuple(STUDY.values()), name=name)
    return {part: {ids[i]: rows[ids[i]] for i in index} for part, index in zip(STUDY, cut, strict=True)}


def _reader(listing: Listing, folder: Path, ids: Sequence[str], stamps: Sequence[Stamp | None]) -> Reader:
    if listing.reader is not None:
        return listing.reader(ids)
    return FolderReader(folder, tuple(listing.paths.get(one, one) for one in ids), _modified_ns(stamps))


def _modified_ns(stamps: Sequence[Stamp | None]) -> NDArray[np.int64]:
    return np.array([stamp.modified_ns if stamp else -1 for stamp in stamps], np.int64)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = os.stat(path)  # noqa: PTH116  (a hundred thousand of them)
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _no_option(published: Published, rest: str) -> UsageError:
    known: Mapping[str, object] = published.options
    if not known:
        return UsageError(f"{published.name} is one data set: leave out {rest!r} behind it.")
    named = ", ".join(f"{published.name}:{option}" for option in known)
    return UsageError(f"{published.name} has no option {rest!r}. Choose from: {published.name}, {named}.")
