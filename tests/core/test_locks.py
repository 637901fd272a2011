import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from transferkit.core import locks
from transferkit.core.errors import DiskSpaceError
from transferkit.core.locks import Lock, hold_lock

HOLD = """
import sys, time
from pathlib import Path
from transferkit.core.locks import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire(wait=True)
print("held", flush=True)
time.sleep(60)
"""


def holder(path):
    """Another process that holds the lock until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def kill(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_locks_of_one_process_exclude_each_other(tmp_path):
    path = tmp_path / "new folder" / "a.lock"
    first, second = Lock(path), Lock(path)
    assert first.acquire(wait=False)
    assert not second.acquire(wait=False)
    assert (first.held, second.held) == (True, False)
    first.release()
    assert second.acquire(wait=False)
    second.release()
    second.release()
    assert list(path.parent.iterdir()) == []


def test_a_lock_whose_file_was_removed_leaves_that_of_its_successor_alone(tmp_path):
    first, second, third = (Lock(tmp_path / "a.lock") for _ in range(3))
    first.acquire(wait=False)
    (tmp_path / "a.lock").unlink()
    assert second.acquire(wait=False)
    first.release()
    assert not third.acquire(wait=False)
    second.release()


def test_a_lock_ends_with_the_process_that_was_killed(tmp_path):
    process, lock = holder(tmp_path / "a.lock"), Lock(tmp_path / "a.lock")
    assert not lock.acquire(wait=False)
    kill(process)
    assert lock.acquire(wait=False)
    lock.release()


def test_waiting_ends_when_the_holder_is_killed(tmp_path):
    process, lock = holder(tmp_path / "a.lock"), Lock(tmp_path / "a.lock")
    threading.Timer(0.2, process.kill).start()
    started = time.monotonic()
    with lock:
        assert lock.held
    assert time.monotonic() - started >= 0.15
    kill(process)


def test_a_forked_worker_does_not_keep_the_lock_of_its_killed_parent(tmp_path):
    script = """
import os, sys, time
from pathlib import Path
from transferkit.core.locks import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire(wait=True)
if child := os.fork():
    print(child, flush=True)
time.sleep(60)
"""
    path = tmp_path / "a.lock"
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    time.sleep(0.2)
    assert not Lock(path).acquire(wait=False)
    try:
        kill(process)
        lock = Lock(path)
        assert lock.acquire(wait=False)
        lock.release()
    finally:
        os.kill(child, signal.SIGKILL)


def test_many_threads_that_remove_and_make_the_file_never_meet(tmp_path):
    inside, most, rounds = [0], [0], [0]

    def work():
        for _ in range(50):
            with Lock(tmp_path / "a.lock"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.0002)
                inside[0] -= 1
                rounds[0] += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, rounds) == ([1], [200])
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_wait_leaves_no_file_open(tmp_path, monkeypatch):
    def interrupt(descriptor, how):
        raise KeyboardInterrupt

    monkeypatch.setattr(locks.fcntl, "flock", interrupt)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(KeyboardInterrupt):
        Lock(tmp_path / "a.lock").acquire(wait=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_locks_exclude_each_other_on_a_system_without_flock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    path = tmp_path / "new folder" / "a.lock"
    first, second = Lock(path), Lock(path)
    started, done = threading.Event(), threading.Event()

    def hold():
        with first:
            started.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    started.wait()
    assert not second.acquire(wait=False)
    assert (first.held, second.held) == (True, False)
    threading.Timer(0.2, done.set).start()
    with second:
        assert (first.held, second.held) == (False, True)
    assert not second.held
    thread.join()


def test_a_busy_lock_is_reported_before_waiting(tmp_path):
    path, calls = tmp_path / "a.lock", []
    process = holder(path)

    def busy():
        calls.append("busy")
        kill(process)

    with hold_lock(path, busy=busy):
        assert calls == ["busy"]
        assert not Lock(path).acquire(wait=False)
    with hold_lock(path, busy=busy):
        assert calls == ["busy"]
    assert not path.exists()


@pytest.mark.skipif(not Path("/sys/kernel").exists(), reason="needs a folder that even root cannot write")
def test_an_unwritable_path_is_named():
    with pytest.raises(DiskSpaceError, match=r"/sys/kernel/a.lock cannot be written"):
        Lock(Path("/sys/kernel/a.lock")).acquire(wait=False)
