"""Against a real server on the loopback that does what servers do on bad days."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from http.client import HTTPResponse
from types import SimpleNamespace

import pytest

from tests.download.servers import CONTENT
from transferkit.core.errors import DataError, DiskSpaceError, UsageError
from transferkit.download.fetching import AbsentError, RetryPolicy, fetch
from transferkit.download.publication import Download

SIZE = len(CONTENT)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


def patient():
    return RetryPolicy(timeout_seconds=0.3, attempts=3, pause_seconds=0)


def got(server, folder, path, *, size=SIZE, digest=MD5, **options):
    download = Download(server.url(path), "a.bin", size, digest)
    place = fetch(download, folder, retry_policy=options.pop("retry_policy", patient()), **options)
    assert place.read_bytes() == CONTENT
    assert [one.name for one in folder.iterdir()] == ["a.bin"]  # no part, no memo


def test_a_file_is_fetched_once(server, tmp_path, notes):
    got(server, tmp_path / "new", "good/a.bin", reporter=notes)
    got(server, tmp_path / "new", "good/a.bin")
    assert len(server.requests) == 1
    assert notes.tasks == [("Fetching a.bin", 1, "MB")]


def test_an_existing_wrong_file_is_fetched_again(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x" * len(CONTENT))
    got(server, tmp_path, "good/a.bin")


@pytest.mark.parametrize("published", [{}, {"size": None, "digest": ""}])
@pytest.mark.parametrize("path", ["good/", "good/a b.bin", "moved/", "unmeasured/", "busy/", "stalls/", "elsewhere/"])
def test_what_servers_do(server, tmp_path, path, published):
    got(server, tmp_path, path, **published)


def test_a_broken_transfer_continues_where_it_stopped(server, tmp_path, notes):
    got(server, tmp_path, "drops/", reporter=notes)
    ranges = [asked for _, asked, _ in server.requests]
    assert ranges == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]
    assert {validator for *_, validator in server.requests[1:]} == {'"one"'}
    assert "a.bin: sent 100000 of 307200 bytes; trying again." in notes.notes


def test_a_server_that_refuses_ranges_starts_over(server, tmp_path):
    got(server, tmp_path, "drops_without_ranges/", digest="")
    assert [asked for _, asked, _ in server.requests] == [None, "bytes=100000-"]


def test_two_versions_of_a_file_are_never_joined(server, tmp_path):
    """If the server has a new file, the old bytes are dropped, even if no digest was published."""
    server.content, server.etag = b"old" * 50_000, '"old"'
    with pytest.raises(DataError, match=r"sent 100000 of 150000 bytes"):
        got(server, tmp_path, "drops/", size=None, digest="", retry_policy=RetryPolicy(0.3, 1))
    assert (tmp_path / "a.bin.part").stat().st_size == 100_000
    server.content, server.etag = CONTENT, '"one"'
    got(server, tmp_path, "good/", size=None, digest="")


def test_a_part_of_unknown_origin_is_dropped(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"from who knows where")
    got(server, tmp_path, "good/", digest="")
    assert server.requests[0][1] is None


def test_joined_bytes_that_are_wrong_start_over(server, tmp_path):
    with pytest.raises(DataError):
        got(server, tmp_path, "drops/", retry_policy=RetryPolicy(0.3, 1))
    part = tmp_path / "a.bin.part"
    part.write_bytes(b"!" + part.read_bytes()[1:])
    got(server, tmp_path, "drops/", retry_policy=patient())


@pytest.mark.parametrize(
    ("path", "published", "reason"),
    [
        ("missing/", {}, r"missing/ answers 404 Not Found\. Try again later, .* --url or .* --from"),
        ("circle/", {}, r"circle/ cannot be requested \(Exceeded 30 redirects"),
        ("login/", {"digest": ""}, "offers 27 bytes, not the published 307200"),
        ("login/", {"size": None}, "sends another file: it has the md5 [0-9a-f]{32}, not the published"),
        ("off_the_web/", {}, r"off_the_web/ cannot be requested \(.*file:///etc/passwd"),
        ("limited/soon", {}, r"answers 429 Too Many Requests \(Invalid Retry-After header: soon\)"),
        ("down/", {}, "answers 500 Internal Server Error, 3 times"),
        ("good/", {"digest": "sha256:" + "0" * 64}, "has the sha256 .*, not the published 0000"),
    ],
)
def test_fetching_errors_state_the_reason(server, tmp_path, path, published, reason):
    with pytest.raises(DataError, match=f"a.bin could not be fetched: .*{reason}"):
        got(server, tmp_path, path, **published)
    assert not (tmp_path / "a.bin").exists()


@pytest.fixture
def waits(monkeypatch):
    """Record the pauses in seconds instead of waiting."""
    waits = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    return waits


def test_nobody_listens(tmp_path, server, waits):
    url = server.url("good/")
    server.server_close()
    with pytest.raises(DataError, match=r"broke off \(.*refused.*\), 4 times"):
        fetch(Download(url, "a.bin"), tmp_path, retry_policy=RetryPolicy(attempts=4))
    assert waits == [2, 4]  # the second attempt follows at once


@pytest.mark.parametrize(("named", "kept"), [(7, 7), (86400, 600)])
def test_the_pause_that_a_server_names_is_kept_up_to_ten_minutes(server, tmp_path, waits, named, kept):
    got(server, tmp_path, f"limited/{named}")
    assert waits == [kept]


def test_other_addresses_are_tried_in_order(server, tmp_path):
    got(server, tmp_path, "unused/", urls=[server.url("missing/"), server.url("login/"), server.url("good/")])
    assert [path for path, *_ in server.requests] == ["/missing/", "/login/", "/good/"]


def test_a_file_is_absent_only_if_every_server_answers_so(server, tmp_path, notes):
    with pytest.raises(AbsentError):
        got(server, tmp_path, "missing/")
    places = [server.url(path) for path in ("missing/", "login/", "missing/")]
    with pytest.raises(DataError, match=r"answers 404 Not Found; .*login/ offers 27 .*; .*404") as caught:
        got(server, tmp_path, "unused/", urls=places, digest="", reporter=notes)
    assert not isinstance(caught.value, AbsentError)
    assert [note.partition(" ")[0] for note in notes.notes] == ["a.bin:"] * 2, "the last is the error itself"


def test_a_network_that_goes_away_is_tried_again(server, tmp_path, monkeypatch, notes):
    """The error comes from the system; it is neither a reset nor a timeout."""
    kept, raised = HTTPResponse.read1, []

    def read(response, count):
        if not raised and response.length < SIZE:
            raised.append(True)
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        return kept(response, count)

    monkeypatch.setattr(HTTPResponse, "read1", read)
    got(server, tmp_path, "good/", reporter=notes)
    assert notes.notes == ["a.bin: broke off ([Errno 113] No route to host); trying again."]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "good.zip", "https://", "https://[::1/a.zip"])
def test_only_web_addresses_are_allowed(tmp_path, url):
    with pytest.raises(UsageError, match=r"is not a web address. Give one that starts with https://"):
        fetch(Download(url, "a.bin"), tmp_path)


def test_what_does_not_fit_is_refused_at_the_start(server, tmp_path, monkeypatch):
    monkeypatch.setattr("transferkit.core.files.shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskSpaceError, match=r"needs 300.0 KiB, but only 1000 B .* \$TRANSFERKIT_DATA"):
        got(server, tmp_path, "good/")


def test_a_folder_that_cannot_be_written_is_one_line(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DiskSpaceError, match=r"a.bin cannot be written"):
        fetch(Download(server.url("good/"), "a.bin"), tmp_path / "file" / "folder")


KILLED = """
import sys
from pathlib import Path
from transferkit.download.publication import Download
from transferkit.download.fetching import fetch
fetch(Download(sys.argv[1], "a.bin"), Path(sys.argv[2]))
"""


def test_killed_in_the_middle_the_next_call_continues(server, tmp_path):
    command = [sys.executable, "-c", KILLED, server.url("stalls/"), str(tmp_path)]
    process = subprocess.Popen(command, env={**os.environ, "NO_PROXY": "127.0.0.1"})
    part = tmp_path / "a.bin.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size == 1000):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "a.bin").exists()
    got(server, tmp_path, "stalls/")
    assert [asked for _, asked, _ in server.requests] == [None, "bytes=1000-"]
