"""Killed, crowded out, or out of room: what is finished stays, and the end has the same bytes."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cache.filling import DIMS, KEY, READ, SHARD_ROWS, begun, contents, fill, filled, truth, write
from transferkit.cache.store import FeatureStore
from transferkit.core.errors import DiskSpaceError

ROOT = Path(__file__).resolve().parents[2]
SHARDS = 5


def start(folder, layers=tuple(DIMS), *, seconds, log):
    command = [
        sys.executable,
        "-m",
        "tests.cache.filling",
        str(folder),
        ",".join(layers),
        str(seconds),
        str(log),
    ]
    return subprocess.Popen(command, cwd=ROOT)


def computed(log):
    return log.read_text().split() if log.exists() else []


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("moment", range(6))
def test_killed_at_any_moment_the_next_run_ends_with_the_same_bytes(tmp_path, moment):
    log, rng = tmp_path / "log", np.random.default_rng(moment)
    process = start(tmp_path / "a", seconds=0.01, log=log)
    until(lambda: len(computed(log)) > moment % SHARDS)
    time.sleep(rng.uniform(0, 0.03))
    process.kill()
    process.wait()
    finished = len(begun(tmp_path / "a").manifest.files)
    again = tmp_path / "again"
    fill(begun(tmp_path / "a"), list(DIMS), log=again)
    assert len(computed(again)) == SHARDS - finished
    assert contents(tmp_path / "a") == contents(filled(tmp_path / "b").folder.parent)


DYING = """
import os, sys
from pathlib import Path
from tests.cache.filling import DIMS, begun, fill

def dying(function):
    def wrapped(*args, **kwargs):
        global left
        left -= 1
        if not left:
            os._exit(9)
        return function(*args, **kwargs)
    return wrapped

os.fsync = dying(os.fsync)
for name in ("replace", "write_bytes", "write_text", "unlink", "chmod"):
    setattr(Path, name, dying(getattr(Path, name)))
step, status = 0, 9
while status:
    step += 1
    if (child := os.fork()) == 0:
        left = step
        fill(begun(Path(sys.argv[1]) / str(step), shard_rows=40), list(DIMS))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def test_dead_at_any_step_that_changes_the_disk_the_next_run_ends_with_the_same_bytes(tmp_path):
    """Child processes end without clean-up, each one step later than the one before, until one finishes."""
    subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], cwd=ROOT, check=True)
    whole = contents(fill(begun(tmp_path / "whole", shard_rows=40), list(DIMS)).folder)
    places = [place for place in tmp_path.iterdir() if place.name.isdigit()]
    assert len(places) > 20
    for place in places:
        entry = fill(begun(place, shard_rows=40), list(DIMS))
        assert contents(entry.folder) == whole, place.name
        assert entry.verify() == []


def test_two_processes_share_the_shards_and_do_each_once(tmp_path):
    log = tmp_path / "log"
    processes = [start(tmp_path / "a", seconds=0.3, log=log) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert sorted(computed(log)) == [str(shard) for shard in range(SHARDS)]
    assert contents(tmp_path / "a") == contents(filled(tmp_path / "b").folder.parent)


def test_two_processes_that_want_different_layers_never_corrupt(tmp_path):
    log = tmp_path / "log"
    wishes = (["stem", "layer1"], ["layer1", "blocks.11"])
    processes = [start(tmp_path, run_options, seconds=0.05, log=log) for run_options in wishes]
    assert [process.wait(60) for process in processes] == [0, 0]
    entry = FeatureStore(tmp_path).entry(KEY)
    for layer in DIMS:
        np.testing.assert_array_equal(entry.features(layer).x, truth(layer)[READ])
    held = [(file.shard, layer) for file in entry.manifest.files.values() for layer in file.layers]
    assert len(held) == len(set(held)) == SHARDS * len(DIMS)
    assert entry.verify() == []


def test_waiting_ends_with_the_death_of_the_other_and_its_shard_is_free_again(tmp_path):
    log = tmp_path / "log"
    process = start(tmp_path, seconds=1000, log=log)
    until(lambda: computed(log))
    entry = begun(tmp_path)
    claims = list(entry.claim(["stem"]))
    assert [claim.rows[0] // SHARD_ROWS for claim in claims] == [1, 2, 3, 4]
    for claim in claims:
        write(claim)
        claim.close()
    assert list(entry.claim(["stem"])) == []
    process.kill()
    process.wait()
    entry.wait()
    (left,) = entry.claim(["stem"])
    assert left.rows[0] == 0
    left.close()


def test_waiting_lasts_as_long_as_the_other_fills(tmp_path):
    claim = next(begun(tmp_path).claim(["stem"]))
    waiting = threading.Thread(target=begun(tmp_path).wait)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    claim.close()
    waiting.join(30)
    assert not waiting.is_alive()


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.cache.filling import begun, fill
from transferkit.core.errors import DiskSpaceError
entry = begun(Path(sys.argv[1]))
fill(entry, ["stem"])
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    fill(entry, ["layer1", "blocks.11"])
except DiskSpaceError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_one_line_and_finished_shards_stay(tmp_path):
    """RLIMIT_FSIZE makes ``write`` fail in the middle of a file, as a full disk does."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "a")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    assert "The disk is full" in line
    assert "shard-00000.2.h5 could not be written" in line
    assert done.stderr == ""
    assert contents(tmp_path / "a") == contents(filled(tmp_path / "b", ["stem"]).folder.parent)
    fill(begun(tmp_path / "a"), list(DIMS))
    fill(begun(tmp_path / "b"), ["layer1", "blocks.11"])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_line_and_what_is_finished_is_read_on(small_disk):
    entry = begun(small_disk)
    fill(entry, ["stem"])
    filler = small_disk / "filler"
    free = os.statvfs(small_disk)
    filler.write_bytes(bytes(free.f_bavail * free.f_bsize))
    with pytest.raises(DiskSpaceError, match=r"^The disk is full: \S+ could not be written"):
        fill(entry, ["layer1"])
    assert entry.missing(["stem", "layer1"]) == ("layer1",)
    np.testing.assert_array_equal(entry.features("stem").x, truth("stem")[READ])
    assert entry.verify() == []
    assert not list(small_disk.rglob("*.part"))
    filler.unlink()
    fill(entry, ["layer1"])
    np.testing.assert_array_equal(entry.features("layer1").x, truth("layer1")[READ])
