"""A run that several processes of one machine train together, as a task."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.studies.studies import SMALL, carried_out, place_at, small
from transferkit.models.runs import Run
from transferkit.studies.grid import grid_of
from transferkit.studies.outcome import ResourceGrant


@pytest.mark.slow
def test_two_processes_train_a_run_and_a_third_probes_it(tmp_path):
    context = place_at(tmp_path / "w")
    text = SMALL.replace('loss = ["ce", "joint"]', 'loss = "ce"\ndevices = 2')
    run, _ = carried_out(small(tmp_path, text=text), context)
    assert not run.failed, run.failed
    description = Run.named("small-ce", context.workspace.runs).read()
    assert description.finished
    assert description.identity["processes"] == 2


@pytest.mark.slow
def test_what_the_processes_say_is_the_error(tmp_path):
    context = place_at(tmp_path / "w")
    text = SMALL.replace('loss = ["ce", "joint"]', 'loss = "ce"\ndevices = 2\nbatch = 100000')
    run, _ = carried_out(small(tmp_path, text=text.replace("batch = 8\n", "")), context)
    (failed,) = run.failed
    assert failed.error.startswith("The 2 processes of the run small-ce ended: ")
    assert "Traceback" not in failed.error


def alive(folder):
    """Processes, by id, that train in the workspace ``folder`` together."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            known = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or is somebody else's
        if f"TRANSFERKIT_WORKSPACE={folder}".encode() in known and any(
            one.startswith(b"TRANSFERKIT_TASK=") for one in known
        ):
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_they_end_with_the_process_that_started_them_however_it_ends(tmp_path):
    context = place_at(tmp_path / "w")
    text = SMALL.replace('loss = ["ce", "joint"]', 'loss = "ce"\ndevices = 2').replace("epochs = 1", "epochs = 500")
    task = next(iter(grid_of(small(tmp_path, text=text)).values()))
    start = {"workspace": str(context.workspace.root), "data": str(context.workspace.data)}
    lines = [{**start, "share": asdict(ResourceGrant(device="cpu"))}, {"task": task.to_json(), "precision": "fp32"}]
    worker = [sys.executable, "-m", "transferkit.studies.engines.worker"]
    with subprocess.Popen(worker, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("".join(json.dumps(line) + "\n" for line in lines).encode())
        process.stdin.flush()
        while not (context.workspace.runs / "small-ce" / "training.safetensors").exists():
            assert process.poll() is None
            time.sleep(0.1)
        assert len(alive(context.workspace.root)) >= 3, "the launcher and two that train"
        process.send_signal(signal.SIGKILL)
    patience = time.monotonic() + 20
    while left := alive(context.workspace.root):
        if time.monotonic() > patience:
            for one in left:
                os.kill(one, signal.SIGKILL)
            raise AssertionError(f"still training: {left}")
        time.sleep(0.1)
