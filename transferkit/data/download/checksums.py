"""What files are like that nobody publishes a checksum of: their SHA-256, kept when they are first fetched.

So a publisher's change, or a damaged file, does not go unseen at the next fetching, and whoever publishes
numbers can say what they were computed on.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ...core.errors import DiskSpaceError
from ...core.files import digest_file, write_json
from ...core.progress import SILENT, Reporter


def remember_digests(name: str, files: Mapping[str, Path], root: Path, *, reporter: Reporter = SILENT) -> None:
    """Keep the SHA-256 of files in ``<root>/digests/<name>.json``, and say what they are.

    A file that is not as it was when it was first fetched is told too; what was kept of that stays.

    Args:
        name: of the data set.
        files: name → where it lies.
        root: the data folder.
        reporter: told.
    """
    memo = root / "digests" / f"{name}.json"
    known = _known(memo)
    for file, path in files.items():
        found = digest_file(path)
        first = known.setdefault(file, found)
        if first == found:
            reporter.note(
                f"{file}: no checksum of it is published. Its SHA-256 is {found}; this is kept in {memo} and "
                "compared when it is fetched again."
            )
        else:
            reporter.note(
                f"{file} is not what was first fetched: its SHA-256 is {found}, and was {first}. Either its "
                "publisher changed it, or one of the two is damaged: look with transferkit datasets verify "
                f"{name}. Remove {memo} to take it as it is now."
            )
    with suppress(DiskSpaceError):
        write_json(memo, known)


def _known(memo: Path) -> dict[str, str]:
    """File → SHA-256, as kept; nothing where nothing is, or it cannot be read."""
    try:
        kept = json.loads(memo.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(file): str(digest) for file, digest in kept.items()} if isinstance(kept, dict) else {}
