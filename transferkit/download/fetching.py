"""Resumable download of one file from one of several URLs; the file appears only when complete and verified.

During the download the file is named ``NAME.part``. ``NAME.part.json`` records the URL and the validator (ETag or
date) of the bytes, so that two versions are never joined.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Literal, NoReturn

import requests
from urllib3 import BaseHTTPResponse, HTTPResponse, Retry
from urllib3.exceptions import HTTPError, InvalidHeader, LocationParseError, MaxRetryError, ReadTimeoutError
from urllib3.util import parse_url

from ..core.errors import DataError, UsageError
from ..core.files import digest_file, flush, require_space, write_json, writing_to
from ..core.http import http_session
from ..core.progress import SILENT, Reporter
from .progress import byte_progress
from .publication import Download

_BLOCK = 2**18
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}  # status codes of errors that may be temporary
_ABSENT = {
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
}  # object stores also answer FORBIDDEN for missing files


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts and number of attempts.

    Attributes:
        timeout_seconds: Maximum time without a byte.
        attempts: Number of consecutive attempts without progress before the next URL is tried.
        pause_seconds: Factor of the pauses. The second attempt follows at once, later ones after 2, 4, 8, … times this
            factor, up to 60 seconds, or after the pause that the server names (``Retry-After``), up to 10 minutes.
    """

    timeout_seconds: float = 30
    attempts: int = 5
    pause_seconds: float = 1

    def retries(self) -> Retry:
        """Return the count of attempts and the pauses for a new series of attempts."""
        return Retry(self.attempts - 1, backoff_factor=self.pause_seconds, backoff_max=60, retry_after_max=600)


class AbsentError(DataError):
    """Every URL answers that the file does not exist."""


class _Refused(Exception):
    """The URL does not provide the file; the message is the reason.

    Args:
        reason: Reason for users.
        absent: Whether the server answers that the file does not exist.
    """

    def __init__(self, reason: str, *, absent: bool = False) -> None:
        super().__init__(reason)
        self.absent = absent


class _Interrupted(Exception):
    """The transfer stopped and can be resumed; the message is the reason.

    Args:
        reason: Reason for users.
        response: Response that may name the pause before the next attempt.
    """

    def __init__(self, reason: str, response: BaseHTTPResponse | None = None) -> None:
        super().__init__(reason)
        self.response = response


@dataclass(frozen=True)
class _Origin:
    """Origin of the bytes of a partial download.

    Attributes:
        url: Requested URL.
        validator: ETag or modification date from the server; empty if there is none.
        size_bytes: Size of the complete file; None if the server does not report it.
    """

    url: str
    validator: str
    size_bytes: int | None


DEFAULT_REMEDY = (
    "Try again later, give another address with --url or $TRANSFERKIT_MIRROR, or download the file manually and "
    "pass it with --from."
)
"""Advice for users if a registered data set cannot be fetched."""


def fetch(
    download: Download,
    folder: Path,
    *,
    urls: Sequence[str] = (),
    retry_policy: RetryPolicy | None = None,
    remedy: str = DEFAULT_REMEDY,
    reporter: Reporter = SILENT,
) -> Path:
    """Return the path of ``download`` in ``folder``; the file is fetched unless it is present and correct.

    Args:
        download: URL, size and digest of the file.
        folder: Folder of the file and of a partial download.
        urls: URLs that are tried in order in place of the publisher's URL.
        retry_policy: Timeouts and number of attempts.
        remedy: Advice for users if the file cannot be fetched.
        reporter: Receives the progress, and transient errors.

    Raises:
        UsageError: If an address is not a web address.
        AbsentError: If no URL has the file.
        DataError: If no server answers, or all send another file; the message lists each URL with its reason.
        DiskSpaceError: If the disk has too little free space.
    """
    candidates = tuple(urls) or (download.url,)
    for url in candidates:
        _require_web_address(url)
    path = folder / download.file
    if path.is_file() and not mismatch(path, download):
        return path
    with writing_to(path):
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    refusals = []
    with http_session() as session:
        transfer = _Transfer(download, path, session, retry_policy or RetryPolicy(), reporter)
        for number, url in enumerate(candidates, start=1):
            try:
                transfer.fetch_from(url)
                return path
            except _Refused as refusal:
                refusals.append(refusal)
                if number < len(candidates):
                    reporter.note(f"{download.file}: {url} {refusal}")
    kind = AbsentError if all(refusal.absent for refusal in refusals) else DataError
    reasons = "; ".join(f"{url} {refusal}" for url, refusal in zip(candidates, refusals, strict=True))
    raise kind(f"{download.file} could not be fetched: {reasons}. {remedy}")


def _require_web_address(url: str) -> None:
    with suppress(LocationParseError):
        if parse_url(url).scheme in ("http", "https") and parse_url(url).host:
            return
    raise UsageError(f"{url} is not a web address. Give one that starts with https://.")


def mismatch(path: Path, download: Download) -> str:
    """Describe the difference between a fetched file and its publication; the text is empty if there is none.

    The size is compared only if there is no digest.
    """
    size = path.stat().st_size
    if download.required_bytes not in (None, size):
        return f"has {size} bytes, not the published {download.required_bytes}"
    if download.digest:
        kind, _, published = download.digest.partition(":")
        found = digest_file(path, kind)
        if found != published:
            return f"has the {kind} {found}, not the published {published}"
    return ""


@dataclass(frozen=True)
class _Transfer:
    """The transfer of one file."""

    download: Download
    path: Path
    session: requests.Session
    retry_policy: RetryPolicy
    reporter: Reporter

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def origin_file(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part.json")

    @property
    def received_bytes(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def fetch_from(self, url: str) -> None:
        """Fetch from one URL and verify; if resumed bytes are wrong, fetch once more from the start.

        Raises: _Refused: If the URL does not provide the file.
        """
        joined = self.received_bytes > 0
        self._complete(url)
        fault = mismatch(self.part, self.download)
        if fault and joined:
            self.reporter.note(f"{self.path.name} {fault}; starting over.")
            self._remove_part()
            self._complete(url)
            fault = mismatch(self.part, self.download)
        if fault:
            self._remove_part()
            raise _Refused(f"sends another file: it {fault}")
        with writing_to(self.path):
            flush(self.part)
            self.part.replace(self.path)
            self.origin_file.unlink(missing_ok=True)

    def _complete(self, url: str) -> None:
        """Repeat attempts until all bytes are received, or too many attempts make no progress."""
        retries = self.retry_policy.retries()
        while True:
            before = self.received_bytes
            try:
                self._attempt(url)
                return
            except _Interrupted as broken:
                if self.received_bytes > before:
                    retries = self.retry_policy.retries()
                try:
                    retries = retries.increment("GET", url, error=broken)
                    self.reporter.note(f"{self.path.name}: {broken}; trying again.")
                    retries.sleep(broken.response)
                except MaxRetryError as exhausted:
                    raise _Refused(f"{broken}, {self.retry_policy.attempts} times") from exhausted
                except InvalidHeader as invalid:
                    raise _Refused(f"{broken} ({invalid})") from invalid

    def _attempt(self, url: str) -> None:
        """Request the missing bytes once.

        Raises:
            _Interrupted: If the connection fails, stalls, or ends early.
            _Refused: If the server refuses, or offers a file of another size.
        """
        received_bytes, origin = self.received_bytes, self._origin()
        if received_bytes and origin is None:
            received_bytes = self._start_over()  # the origin of these bytes is unknown
        if received_bytes and origin and received_bytes == origin.size_bytes and origin.url == url:
            return
        headers = _range_headers(received_bytes, origin, url)
        timeout = self.retry_policy.timeout_seconds
        try:
            with self.session.get(url, headers=headers, timeout=timeout, stream=True) as response:
                if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
                    self._reject(response, received_bytes)
                self._receive(response, url, received_bytes)
        except (requests.Timeout, ReadTimeoutError) as error:
            raise _Interrupted(f"sent nothing for {timeout:g} seconds") from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, HTTPError) as error:
            raise _Interrupted(f"broke off ({_reason(error)})") from error
        except requests.RequestException as error:
            raise _Refused(f"cannot be requested ({error})") from error

    def _reject(self, response: requests.Response, received_bytes: int) -> NoReturn:
        """Raise the error of a response without content."""
        status, answer = response.status_code, f"answers {response.status_code} {response.reason}"
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and received_bytes:
            self._start_over()
            raise _Interrupted("the server does not resume")
        if status in _TRANSIENT:
            raise _Interrupted(answer, response.raw)
        raise _Refused(answer, absent=status in _ABSENT)

    def _receive(self, response: requests.Response, url: str, received_bytes: int) -> None:
        """Append the response, or start over if the server sends the complete file."""
        partial = response.status_code == HTTPStatus.PARTIAL_CONTENT
        start = _start(response.headers) if partial else 0
        total = _total(response.headers, start)
        if received_bytes and not (partial and start == received_bytes and self._same_size(total)):
            received_bytes = self._start_over()
            if partial:
                raise _Interrupted("the server resumes another file, or at another position")
        published = self.download.required_bytes
        if published is not None and total is not None and total != published:
            raise _Refused(f"offers {total} bytes, not the published {published}")
        expected = total or self.download.size_bytes or 0
        require_space(self.path.parent, expected - received_bytes, remedy=DATA_FOLDER_REMEDY)
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        write_json(self.origin_file, asdict(_Origin(url, "" if validator.startswith("W/") else validator, total)))
        self._append(response.raw, expected - received_bytes)
        if total is not None and self.received_bytes != total:
            raise _Interrupted(f"sent {self.received_bytes - received_bytes} of {total - received_bytes} bytes")

    def _same_size(self, total: int | None) -> bool:
        origin = self._origin()
        return origin is None or total is None or origin.size_bytes in (None, total)

    def _append(self, content: HTTPResponse, missing: int) -> None:
        label = f"Fetching {self.path.name}"
        content.enforce_content_length = False  # the caller compares the size
        with byte_progress(self.reporter, label, missing) as meter, self.part.open("ab") as file:
            while block := content.read1(_BLOCK, decode_content=False):
                with writing_to(self.path):
                    file.write(block)
                    file.flush()
                meter.advance(len(block))

    def _origin(self) -> _Origin | None:
        with suppress(OSError, ValueError, TypeError):
            return _Origin(**json.loads(self.origin_file.read_bytes()))
        return None

    def _start_over(self) -> Literal[0]:
        with writing_to(self.path):
            self.part.write_bytes(b"")
        return 0

    def _remove_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self.origin_file.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """Return the message of the innermost error, such as ``Connection refused``, of an error of requests."""
    inner = [cause for cause in (getattr(error, "reason", None), *error.args) if isinstance(cause, Exception)]
    return _reason(inner[-1]) if inner else str(error)


DATA_FOLDER_REMEDY = "name another folder with $TRANSFERKIT_DATA"


def _range_headers(received_bytes: int, origin: _Origin | None, url: str) -> Mapping[str, str]:
    """Return headers that request the missing bytes, if the file on the server is unchanged."""
    if not received_bytes or origin is None:
        return {}
    if origin.validator:
        return {"Range": f"bytes={received_bytes}-", "If-Range": origin.validator}
    return {"Range": f"bytes={received_bytes}-"} if origin.url == url else {}


def _start(headers: Mapping[str, str]) -> int:
    """Parse the first byte from ``Content-Range: bytes 5-9/10``; 0 if there is none."""
    _, _, span = (headers.get("Content-Range") or "").partition(" ")
    first, _, _ = span.partition("-")
    return int(first) if first.isdigit() else 0


def _total(headers: Mapping[str, str], start: int) -> int | None:
    """Return the size of the complete file in bytes, or None."""
    total = (headers.get("Content-Range") or "").rpartition("/")[2]
    if total.isdigit():
        return int(total)
    length = headers.get("Content-Length") or ""
    return start + int(length) if length.isdigit() else None
