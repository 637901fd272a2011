"""Recorded SHA-256 checksums of files without a published checksum.

The checksum of the first download is stored, so that a changed or damaged file is detected at the next download,
and results can be reported with the checksum of their data.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..core.errors import DiskSpaceError
from ..core.files import digest_file, write_json
from ..core.progress import SILENT, Reporter


def record_digests(name: str, files: Mapping[str, Path], root: Path, *, reporter: Reporter = SILENT) -> None:
    """Record the SHA-256 of files in ``<root>/digests/<name>.json``, and report it.

    A file that differs from its first download is reported; the recorded checksum does not change.

    Args:
        name: Name of the data set.
        files: File name → path.
        root: Data folder.
        reporter: Receives the notes.
    """
    record = root / "digests" / f"{name}.json"
    recorded = _read_record(record)
    for file, path in files.items():
        found = digest_file(path)
        first = recorded.setdefault(file, found)
        if first == found:
            reporter.note(
                f"{file} has no published checksum. Its SHA-256 is {found}; it is recorded in {record} and "
                "compared when the file is fetched again."
            )
        else:
            reporter.note(
                f"{file} differs from the first download: its SHA-256 is {found}, and was {first}. Either its "
                "publisher changed it, or one of the two is damaged. Check with transferkit datasets verify "
                f"{name}. Remove {record} to accept the new file."
            )
    with suppress(DiskSpaceError):
        write_json(record, recorded)


def _read_record(record: Path) -> dict[str, str]:
    """Read the recorded checksums; the result is empty if there are none or they cannot be read."""
    try:
        kept = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(file): str(digest) for file, digest in kept.items()} if isinstance(kept, dict) else {}
