"""Local copies of shards at a URL, which are fetched once into the data folder."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ..core.errors import DataError
from ..core.files import digest_of
from ..core.locks import hold_lock
from ..core.progress import SILENT, Reporter
from ..download.fetching import AbsentError, RetryPolicy, fetch
from ..download.publication import Download

_REMEDY = (
    "Check the address and the network, then run the same command again: complete shards are kept, and "
    "this download resumes."
)


def local_copies(
    urls: Sequence[str], root: Path, *, retry_policy: RetryPolicy | None = None, reporter: Reporter = SILENT
) -> list[Path]:
    """Return the local copies of shards, and fetch missing ones; the list is empty if no shard exists at the URLs.

    An interrupted transfer is retried and resumed, see ``download.fetching``. Of several processes, such as the
    ranks of one training, one process fetches while the other ones wait.

    Args:
        urls: URLs of the shards.
        root: Data folder.
        retry_policy: Timeouts and number of attempts.
        reporter: Receives the progress, and transient errors.

    Raises:
        DataError: If only some shards exist, or a shard cannot be fetched.
        DiskSpaceError: If the disk has too little free space.
    """
    folder = _folder(urls, root)
    paths = [folder / digest_of(url)[:8] / Path(urlsplit(url).path).name for url in urls]
    if _marker(urls, root).exists():
        return []
    absent = [(url, path) for url, path in zip(urls, paths, strict=True) if not path.exists()]
    if not absent:
        return paths

    def wait() -> None:
        reporter.note(f"Another process is fetching {urls[0]} and the shards after it; waiting for it.")

    with (
        hold_lock(folder / ".lock", busy=wait),
        reporter.task(f"Fetching {urls[0]}", len(absent), "shards") as task,
    ):
        for number, (url, path) in enumerate(absent):
            try:
                fetch(
                    Download(url, path.name),
                    path.parent,
                    retry_policy=retry_policy,
                    remedy=_REMEDY,
                    reporter=reporter,
                )
            except AbsentError as error:
                reason = str(error).removesuffix(f" {_REMEDY}")
                if number == 0 and len(absent) == len(urls):
                    reporter.note(reason)
                    return []
                raise DataError(f"{reason} Other shards of the pattern exist: narrow the pattern.") from error
            task.advance()
    return paths


def remember_absent(urls: Sequence[str], root: Path) -> Path:
    """Record that no shard exists at the URLs, so that the data set opens without a network.

    Returns: The marker file; if it is removed, the shards are requested again.
    """
    _folder(urls, root).mkdir(parents=True, exist_ok=True)
    _marker(urls, root).touch()
    return _marker(urls, root)


def _folder(urls: Sequence[str], root: Path) -> Path:
    return root / "wds" / digest_of(urls[0].rpartition("/")[0])[:16]


def _marker(urls: Sequence[str], root: Path) -> Path:
    return _folder(urls, root) / f"{digest_of(list(urls))[:8]}.absent"
