import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from transferkit.core.errors import DataError
from transferkit.core.preprocessing import Preprocessing
from transferkit.data.arrays import from_arrays
from transferkit.data.folder import open_folder
from transferkit.data.loading import MOST_WORKERS, default_workers, load_batches, load_items, map_in_forked_processes
from transferkit.data.resize_and_crop import frame

VIEW = Preprocessing(16, 12)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 9, 11, 3), dtype=np.uint8)
SPLIT = from_arrays(IMAGES, [0] * 40, name="noise", split="all")
BATCHES = [np.array(rows) for rows in ([3, 1, 2], [39], [], [5, 5], list(range(30, 10, -1)))]
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # of more workers than cores


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_are_exactly_the_requested_ones(workers):
    loaded = list(load_batches(SPLIT, VIEW, BATCHES, workers=workers))
    assert [batch.rows.tolist() for batch in loaded] == [rows.tolist() for rows in BATCHES]
    for batch in loaded:
        assert batch.images.dtype == torch.uint8
        assert batch.images.shape == (len(batch.rows), 3, 12, 12)
        assert batch.reasons == {}
        for row, image in zip(batch.rows, batch.images.numpy(), strict=True):
            assert (image == frame(IMAGES[row], VIEW)).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_has_a_reason_and_no_pixels(make_folder, data_root, workers):
    folder = make_folder({"train/a": 3, "train/b": 3, "test/a": 1})
    (folder / "train/a/1.png").write_bytes(b"")
    (folder / "train/b/0.png").write_text("text")
    train = open_folder(str(folder), root=data_root, seed=0).split("train")
    (batch,) = load_batches(train, VIEW, [np.array([5, 3, 1, 0])], workers=workers)
    assert batch.reasons == {1: "the file is empty", 3: "not an image of a known format"}
    assert [bool(image.any()) for image in batch.images] == [True, False, False, True]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_claimed_lazily(workers):
    claimed = []

    def claims():
        for number in range(20):
            claimed.append(number)
            yield np.array([number])

    for number, batch in enumerate(load_batches(SPLIT, VIEW, claims(), workers=workers)):
        assert batch.rows.tolist() == [number]
        assert len(claimed) <= min(20, number + 1 + 2 * workers)
    assert claimed == list(range(20))


@pytest.mark.parametrize("workers", [0, 2])
def test_no_batches(workers):
    assert list(load_batches(SPLIT, VIEW, iter([]), workers=workers)) == []


@dataclass
class Failing:
    error: Exception

    def image(self, row):
        if row == 7:
            raise self.error
        return IMAGES[row]


def failing(error):
    split = from_arrays(IMAGES, [0] * 40, name="noise", split="all")
    object.__setattr__(split, "reader", Failing(error))
    return split


@pytest.mark.parametrize("workers", [0, 2])
def test_other_errors_propagate(workers):
    batches = [np.array([row]) for row in range(20)]
    with pytest.raises(ZeroDivisionError, match="of the reader"):
        list(load_batches(failing(ZeroDivisionError("of the reader")), VIEW, batches, workers=workers))
    loaded = load_batches(failing(DataError("The set is gone.")), VIEW, batches, workers=workers)
    with pytest.raises(DataError, match=r"^The set is gone\.$"):  # the message alone, fit for a user
        list(loaded)
    assert not children()


class Process:
    """Says which process reads, with how many threads."""

    def image(self, row):
        pid = os.getpid()
        threads = torch.get_num_threads()
        return np.array([[[pid % 256, pid // 256 % 256, threads]]], dtype=np.uint8)


def test_workers_are_processes_of_one_thread_and_end_with_the_loading():
    split = failing(ValueError())
    object.__setattr__(split, "reader", Process())
    batches = load_batches(split, Preprocessing(1, 1), [np.array([row]) for row in range(8)], workers=2)
    pixels = [batch.images[0, :, 0, 0].tolist() for batch in batches]
    assert {threads for _, _, threads in pixels} == {1}
    pids = {(low, high) for low, high, _ in pixels}
    assert len(pids) == 2
    assert (os.getpid() % 256, os.getpid() // 256 % 256) not in pids
    assert not children()


class Delayed:
    """Answers with what it was asked, after that many tenths of a second."""

    def __getitem__(self, tenths):
        time.sleep(tenths / 10)
        return tenths


def test_items_come_in_order_and_answers_as_they_are_ready():
    assert list(load_items(Delayed(), [5, 0, 1, 0], workers=2)) == [5, 0, 1, 0]
    assert list(map_in_forked_processes(Delayed(), [9, 0, 0, 1, 0, 1], workers=2))[-1] == 9


def test_who_does_not_wait_for_the_rest_of_the_answers_need_not_wait():
    answers = map_in_forked_processes(Delayed(), [600, 0, 600], workers=2)
    assert next(answers) == 0
    started = time.perf_counter()
    answers.close()
    assert time.perf_counter() - started < 4
    assert not children()


class Killed:
    """Dies of the first question."""

    def __getitem__(self, question):
        os.kill(os.getpid(), signal.SIGKILL)


def test_who_was_killed_is_missed_at_once():
    started = time.perf_counter()
    with pytest.raises(RuntimeError, match=r"killed|exited"):
        list(map_in_forked_processes(Killed(), [1, 2], workers=2))
    assert time.perf_counter() - started < 4
    assert not children()


def test_workers_end_when_the_caller_stops_early():
    batches = load_batches(SPLIT, VIEW, [np.array([row]) for row in range(40)], workers=2)
    next(batches)
    assert len(children()) == 2
    batches.close()
    assert not children()


BEFORE: set[str] = set()


@pytest.fixture(autouse=True)
def _those_from_before():
    """Ignore processes that other tests of this process have left."""
    BEFORE.clear()
    BEFORE.update(alive())


def children():
    """Return the child processes that this test has started and that were not yet reaped."""
    return [pid for pid in alive() if pid not in BEFORE]


def alive():
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    return listing.read_text().split() if listing.exists() else []


def test_the_global_generator_is_not_advanced():
    before = torch.get_rng_state()
    list(load_batches(SPLIT, VIEW, BATCHES, workers=0))
    list(load_batches(SPLIT, VIEW, BATCHES, workers=2))
    assert (torch.get_rng_state() == before).all()


INTERRUPTED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
import numpy as np
from transferkit.core.preprocessing import Preprocessing
from transferkit.data.arrays import from_arrays
from transferkit.data.loading import load_batches

class Slow:
    def image(self, row):
        time.sleep(0.05)
        return np.zeros((4, 4, 3), np.uint8)

split = from_arrays(np.zeros((4, 4, 4, 3), np.uint8), [0] * 4, name="slow", split="all")
object.__setattr__(split, "reader", Slow())
try:
    for batch in load_batches(split, Preprocessing(4, 4), ([np.array([0, 1])] * 1000), workers=2):
        print("loaded", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


def test_ctrl_c_is_answered_once_and_leaves_nobody_behind():
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(4):  # from both workers: neither is still beginning
        assert process.stdout.readline() == "loaded\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the parent and to every worker
    stdout, stderr = process.communicate(timeout=60)
    assert stdout.splitlines()[-1] == "interrupted"
    assert stderr == ""
    assert process.returncode == 130
    for _ in range(100):
        if not in_session(process.pid):
            return
        time.sleep(0.05)
    raise AssertionError(f"still alive: {in_session(process.pid)}")


def in_session(session):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            found.append(path.parent.name)
    return found


def test_default_workers():
    assert 0 <= default_workers() <= MOST_WORKERS
    if hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(cores)})
            assert default_workers() == 0
        finally:
            os.sched_setaffinity(0, cores)
