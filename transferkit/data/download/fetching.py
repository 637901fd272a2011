"""Fetching one file: continued where it stopped, from several places, and there only when whole and right.

While it is under way the file is called ``NAME.part``. ``NAME.part.json`` beside it says where the bytes come
from and how the server told versions of them apart, so that two versions are never joined.
"""

import hashlib
import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from ... import __version__
from ...core.errors import DataError, UsageError
from ...core.files import flush, require_space, writing_to
from ...core.progress import SILENT, Reporter
from ..downstream.published import Download
from .progress import metered

_BLOCK = 2**18
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # a server that says so may say something else later
_ABSENT = {
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
}  # object stores forbid what is not there
_HEADERS = {"User-Agent": f"transferkit/{__version__}", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class RetryPolicy:
    """How long a server is waited for.

    Attributes:
        timeout_seconds: without a byte.
        attempts: one after another that bring nothing, before the next place is asked.
        pause_seconds: after the first such attempt; twice as long after each later one, a minute at most.
        sleep: waits so many seconds.
    """

    timeout_seconds: float = 30
    attempts: int = 5
    pause_seconds: float = 1
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def pause(self, failures: int) -> None:
        """Wait after so many failures, at least one."""
        self.sleep(min(60, self.pause_seconds * 2 ** (failures - 1)))


class AbsentError(DataError):
    """No place has the file, and all of them say so."""


class _Refused(Exception):
    """This place does not give the file; the message is the reason.

    Args:
        reason: for people.
        absent: whether the place says that there is no such file.
    """

    def __init__(self, reason: str, *, absent: bool = False) -> None:
        super().__init__(reason)
        self.absent = absent


class _Broken(Exception):
    """The transfer stopped; the message is the reason. It can go on."""


@dataclass(frozen=True)
class _Origin:
    """Where the bytes of a part come from.

    Attributes:
        url: as it was asked for.
        validator: the server's ETag or date of change; empty where it gave none.
        size_bytes: of the whole file; None where the server did not say.
    """

    url: str
    validator: str
    size_bytes: int | None


OTHERWISE = (
    "Try again later, name another place with --url or $TRANSFERKIT_MIRROR, or get the file by hand and give "
    "it with --from."
)
"""What a user can do about a set of the registry that cannot be fetched."""


def fetch(
    download: Download,
    folder: Path,
    *,
    urls: Sequence[str] = (),
    patience: RetryPolicy | None = None,
    remedy: str = OTHERWISE,
    reporter: Reporter = SILENT,
) -> Path:
    """The file of ``download`` in ``folder``; it is fetched unless it is there and right.

    Args:
        download: its address, size and digest.
        folder: where it will lie, and what has come so far already lies.
        urls: asked instead of the publisher's address, one after another.
        patience: how long servers are waited for.
        remedy: what a user can do where it cannot be fetched.
        reporter: told how far it has come, and what went wrong on the way.

    Raises:
        UsageError: if an address is not one of the web.
        AbsentError: if no place has it.
        DataError: if none answers, or all send another file; each place with its reason.
        DiskSpaceError: if it would not fit.
    """
    places = tuple(urls) or (download.url,)
    for url in places:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise UsageError(f"{url} is not an address of the web. Give one that starts with https://.")
    path = folder / download.file
    if path.is_file() and not wrong(path, download):
        return path
    with writing_to(path):
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    transfer = _Transfer(download, path, patience or RetryPolicy(), reporter)
    refusals = []
    for place, url in enumerate(places, start=1):
        try:
            transfer.whole_from(url)
            return path
        except _Refused as refusal:
            refusals.append(refusal)
            if place < len(places):
                reporter.note(f"{download.file}: {url} {refusal}")
    kind = AbsentError if all(refusal.absent for refusal in refusals) else DataError
    reasons = "; ".join(f"{url} {refusal}" for url, refusal in zip(places, refusals, strict=True))
    raise kind(f"{download.file} could not be fetched: {reasons}. {remedy}")


def wrong(path: Path, download: Download) -> str:
    """What is wrong with a file that was fetched, or nothing, as far as its publisher says.

    A digest says all; only without one does the size count.
    """
    size = path.stat().st_size
    if download.required_bytes not in (None, size):
        return f"has {size} bytes, not the published {download.required_bytes}"
    if download.digest:
        kind, _, published = download.digest.partition(":")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
        if found != published:
            return f"has the {kind} {found}, not the published {published}"
    return ""


@dataclass(frozen=True)
class _Transfer:
    """One file under way."""

    download: Download
    path: Path
    patience: RetryPolicy
    reporter: Reporter

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def memo(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part.json")

    @property
    def have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def whole_from(self, url: str) -> None:
        """Fetch from one place, and check; once more from the start where joined bytes are wrong.

        Raises: _Refused: if the place does not have the file.
        """
        joined = self.have > 0
        self._complete(url)
        fault = wrong(self.part, self.download)
        if fault and joined:
            self.reporter.note(f"{self.path.name} {fault}: it starts over.")
            self._forget()
            self._complete(url)
            fault = wrong(self.part, self.download)
        if fault:
            self._forget()
            raise _Refused(f"sends another file: it {fault}")
        with writing_to(self.path):
            flush(self.part)
            self.part.replace(self.path)
            self.memo.unlink(missing_ok=True)

    def _complete(self, url: str) -> None:
        """Attempt until all bytes are there, as long as some attempts bring some."""
        failures = 0
        while True:
            before = self.have
            try:
                self._attempt(url)
                return
            except _Broken as broken:
                failures = 1 if self.have > before else failures + 1
                if failures >= self.patience.attempts:
                    raise _Refused(f"{broken}, {failures} times") from broken
                self.reporter.note(f"{self.path.name}: {broken}; trying again.")
                self.patience.pause(failures)

    def _attempt(self, url: str) -> None:
        """Ask once, for what is missing.

        Raises:
            _Broken: if the connection fails, stalls, or ends early.
            _Refused: if the server says no, or offers a file of another size.
        """
        have, origin = self.have, self._origin()
        if have and origin is None:
            have = self._start_over()  # nobody knows whose bytes these are
        if have and origin and have == origin.size_bytes and origin.url == url:
            return
        request = Request(url, headers={**_HEADERS, **_continuation(have, origin, url)})
        try:
            with urlopen(request, timeout=self.patience.timeout_seconds) as response:
                self._receive(response, url, have)
        except HTTPError as error:
            error.close()
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
                self._start_over()
                raise _Broken("the server does not continue") from error
            said = f"answers {error.code} {str(error.reason).partition('.')[0]}"
            if error.code in _PASSING:
                raise _Broken(said) from error
            raise _Refused(said, absent=error.code in _ABSENT) from error
        except TimeoutError as error:
            raise _Broken(f"sent nothing for {self.patience.timeout_seconds:g} seconds") from error
        except InvalidURL as error:
            raise _Refused(f"is no address ({error})") from error
        except (URLError, HTTPException, ConnectionError, ssl.SSLError) as error:
            raise _Broken(f"broke off ({getattr(error, 'reason', None) or error!r})") from error

    def _receive(self, response: HTTPResponse, url: str, have: int) -> None:
        """Append what the server sends, or start over where it sends the whole."""
        partial = response.status == HTTPStatus.PARTIAL_CONTENT
        start = _start(response.headers) if partial else 0
        total = _total(response.headers, start)
        if have and not (partial and start == have and self._same_size(total)):
            have = self._start_over()
            if partial:
                raise _Broken("the server continues another file, or elsewhere")
        published = self.download.required_bytes
        if published is not None and total is not None and total != published:
            raise _Refused(f"offers {total} bytes, not the published {published}")
        expected = total or self.download.size_bytes or 0
        require_space(self.path.parent, expected - have, remedy=ROOM)
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        self._remember(_Origin(url, "" if validator.startswith("W/") else validator, total))
        self._append(response, expected - have)
        if total is not None and self.have != total:
            raise _Broken(f"sent {self.have - have} of {total - have} bytes")

    def _same_size(self, total: int | None) -> bool:
        origin = self._origin()
        return origin is None or total is None or origin.size_bytes in (None, total)

    def _append(self, response: HTTPResponse, missing: int) -> None:
        label = f"Fetching {self.path.name}"
        with metered(self.reporter, label, missing) as meter, self.part.open("ab") as file:
            while block := _received(response):
                with writing_to(self.path):
                    file.write(block)
                    file.flush()
                meter.advance(len(block))

    def _origin(self) -> _Origin | None:
        with suppress(OSError, ValueError, TypeError):
            return _Origin(**json.loads(self.memo.read_bytes()))
        return None

    def _remember(self, origin: _Origin) -> None:
        with writing_to(self.path):
            scratch = self.memo.with_suffix(".new")
            scratch.write_text(json.dumps(asdict(origin)), encoding="utf-8")
            scratch.replace(self.memo)

    def _start_over(self) -> Literal[0]:
        with writing_to(self.path):
            self.part.write_bytes(b"")
        return 0

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.memo.unlink(missing_ok=True)


def _received(response: HTTPResponse) -> bytes:
    """What has come, up to a block; nothing at the end.

    Raises: _Broken: if the network fails; what fails in writing is another matter.
    """
    try:
        return response.read1(_BLOCK)
    except TimeoutError:
        raise
    except OSError as error:
        raise _Broken(f"broke off ({error})") from error


ROOM = "name another folder with $TRANSFERKIT_DATA"


def _continuation(have: int, origin: _Origin | None, url: str) -> Mapping[str, str]:
    """Headers that ask for what is missing, if the file is still the one that was begun."""
    if not have or origin is None:
        return {}
    if origin.validator:
        return {"Range": f"bytes={have}-", "If-Range": origin.validator}
    return {"Range": f"bytes={have}-"} if origin.url == url else {}


def _start(headers: Message) -> int:
    """Where a part of a file starts, by ``Content-Range: bytes 5-9/10``; 0 where that is not said."""
    _, _, span = (headers.get("Content-Range") or "").partition(" ")
    first, _, _ = span.partition("-")
    return int(first) if first.isdigit() else 0


def _total(headers: Message, start: int) -> int | None:
    """Bytes of the whole file, or None."""
    total = (headers.get("Content-Range") or "").rpartition("/")[2]
    if total.isdigit():
        return int(total)
    length = headers.get("Content-Length") or ""
    return start + int(length) if length.isdigit() else None
