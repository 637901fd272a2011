"""Copies of the shards behind a URL: fetched once into the data folder, whatever servers do on the way."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ..core.errors import DataError
from ..core.files import digest_of
from ..core.progress import SILENT, Reporter
from .download.fetching import AbsentError, RetryPolicy, fetch
from .download.file_lock import holding
from .downstream.published import Download

_REMEDY = (
    "Check the address and the network, then run the same command again: shards that are there stay, and "
    "this one continues where it stopped."
)


def copied(
    urls: Sequence[str], root: Path, *, patience: RetryPolicy | None = None, reporter: Reporter = SILENT
) -> list[Path]:
    """Copies of the shards in the data folder, fetched now where they are not there; none where none exists.

    A transfer that stalls or breaks off is tried again and continues, as ``preparing.fetching`` does it. Of
    several processes, such as the ranks of one training, one fetches and the others wait for it.

    Args:
        urls: of the shards.
        root: the data folder.
        patience: how long servers are waited for.
        reporter: told how far it has come, and what went wrong on the way.

    Raises:
        DataError: if some exist and others do not, or one cannot be fetched; the shard, why, and what to do.
        DiskSpaceError: if they would not fit.
    """
    folder = _folder(urls, root)
    paths = [folder / digest_of(url)[:8] / Path(urlsplit(url).path).name for url in urls]
    if _marker(urls, root).exists():
        return []
    absent = [(url, path) for url, path in zip(urls, paths, strict=True) if not path.exists()]
    if not absent:
        return paths

    def wait() -> None:
        reporter.note(f"Another process fetches {urls[0]} and the shards after it: waiting for it.")

    with (
        holding(folder / ".lock", busy=wait),
        reporter.task(f"Fetching {urls[0]}", len(absent), "shards") as task,
    ):
        for number, (url, path) in enumerate(absent):
            try:
                fetch(
                    Download(url, path.name),
                    path.parent,
                    patience=patience,
                    remedy=_REMEDY,
                    reporter=reporter,
                )
            except AbsentError as error:
                reason = str(error).removesuffix(f" {_REMEDY}")
                if number == 0 and len(absent) == len(urls):
                    reporter.note(reason)
                    return []
                raise DataError(f"{reason} Other shards of the pattern exist: narrow it.") from error
            task.advance()
    return paths


def remember_absent(urls: Sequence[str], root: Path) -> Path:
    """From now on none of the shards exists, without asking: a set that is here opens without a network.

    Returns: the file to remove to have them asked for again.
    """
    _folder(urls, root).mkdir(parents=True, exist_ok=True)
    _marker(urls, root).touch()
    return _marker(urls, root)


def _folder(urls: Sequence[str], root: Path) -> Path:
    return root / "wds" / digest_of(urls[0].rpartition("/")[0])[:16]


def _marker(urls: Sequence[str], root: Path) -> Path:
    return _folder(urls, root) / f"{digest_of(list(urls))[:8]}.absent"
