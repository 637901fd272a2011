"""Processes of this machine: what they are given, and what becomes of the task of one that is killed."""

import os
import signal
import subprocess

import pytest
import torch

from tests.studies.studies import place_at, plain_study
from transferkit.core.cores import available_cores
from transferkit.core.errors import DiskSpaceError, UsageError
from transferkit.studies.engines import local
from transferkit.studies.engines.engine import ResourceRequest, resource_request
from transferkit.studies.engines.local import LocalEngine, default_jobs
from transferkit.studies.grid import Task, grid_of


def engine_at(context, jobs=1):
    return LocalEngine(context.workspace, context.workspace.studies / "logs", jobs)


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--jobs 0 is too small: give 1 or more"):
        engine_at(place_at(tmp_path), jobs=0)


def test_threads_and_memory_are_divided(tmp_path):
    one, four = (engine_at(place_at(tmp_path), workers).share(0) for workers in (1, 4))
    assert (one.threads, four.threads) == (available_cores(), max(1, available_cores() // 4))
    assert four.memory == pytest.approx(one.memory / 4, rel=0.2)
    assert one.loaders is None
    assert four.loaders == four.threads // 4


def test_no_more_workers_than_the_memory_carries(monkeypatch):
    monkeypatch.setattr(local, "available_cores", lambda: 64)
    monkeypatch.setattr(local, "free_memory_bytes", lambda: 10 * 2**30)
    assert default_jobs() == 3
    monkeypatch.setattr(local, "free_memory_bytes", lambda: 2**20)
    assert default_jobs() == 1
    monkeypatch.setattr(local, "free_memory_bytes", lambda: 2**50)
    assert default_jobs() == 32


@pytest.mark.parametrize(
    ("cores", "gpus", "workers", "owner", "other"),
    [
        (2, 0, 1, None, (2, None)),
        (8, 0, 4, None, (2, 0)),
        (4, 1, 2, (3, 2), (1, 0)),
        (16, 1, 3, (12, 11), (2, 0)),
        (128, 8, 24, (12, 11), (2, 0)),
    ],
)
def test_threads_and_decoders_of_a_machine(tmp_path, monkeypatch, cores, gpus, workers, owner, other):
    monkeypatch.setattr(local, "available_cores", lambda: cores)
    monkeypatch.setattr(local, "free_memory_bytes", lambda: 2**50)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    engine = engine_at(place_at(tmp_path), jobs=None)
    shares = [(share.threads, share.loaders) for share in map(engine.share, range(workers))]
    assert engine._count == workers
    assert shares == [owner] * gpus + [other] * (workers - gpus)


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    context = place_at(tmp_path)
    context.workspace.studies.mkdir(parents=True)
    (context.workspace.studies / "logs").write_text("in the way")
    with (
        engine_at(context) as engine,
        pytest.raises(DiskSpaceError, match=r"worker-0\.log cannot be written .*--workspace"),
    ):
        engine.submit(network(0), NEED, "fp32")


def network(number):
    """A task that shows images to a network."""
    return Task("extract", f"extract {number}", {"number": number, "sizes": {}})


def reader(number):
    """A task that only reads features."""
    return Task("probe", f"probe {number}", {"number": number, "protocol": "knn", "settings": [{}]})


@pytest.fixture
def listeners(monkeypatch):
    """Processes that listen and do nothing; which GPU each was given, in the order of their start."""
    gpus, start = [], subprocess.Popen

    def started(command, **options):
        gpus.append(options["env"]["CUDA_VISIBLE_DEVICES"])
        return start(["wc", "-l"], **options)

    monkeypatch.setattr(local.subprocess, "Popen", started)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return gpus


NEED = ResourceRequest(1, 0, 0)


@pytest.mark.parametrize("victim", [0, 1])
def test_the_gpu_of_a_killed_process_goes_to_the_next_and_to_no_other(tmp_path, monkeypatch, listeners, victim):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with engine_at(place_at(tmp_path), jobs=3) as engine:
        for number in range(2):
            engine.submit(network(number), NEED, "fp32")
        engine.submit(reader(0), NEED, "fp32")
        assert listeners == ["0", "1", ""]
        kill(engine, victim)
        assert engine.wait(30) == [], "it is begun again"
        assert listeners[3:] == [str(victim)]
        for worker in engine._running:
            worker.task = None  # all have answered
        for number in range(2):
            assert engine.accepts(network(number))
            engine.submit(network(number), NEED, "fp32")
        assert not engine.accepts(network(2)), "both GPUs are at work"
        assert engine.accepts(reader(1))
        assert len(listeners) == 4


def test_what_runs_networks_waits_for_a_gpu_and_leaves_other_processes_alone(tmp_path, monkeypatch, listeners):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with engine_at(place_at(tmp_path), jobs=2) as engine:
        engine.submit(reader(0), NEED, "fp32")
        assert engine.accepts(network(0))
        engine.submit(network(0), NEED, "fp32")
        assert listeners == ["", "0"]
        assert not engine.accepts(network(1))
        kill(engine, 1)
        engine._running[1].task = None  # it was idle then
        assert engine.wait(30) == []
        assert engine.accepts(network(1)), "the GPU is nobody's"
        engine.submit(network(1), NEED, "fp32")
        assert listeners == ["", "0", "0"]


def test_a_process_that_is_gone_before_it_is_told_anything_is_replaced(tmp_path, listeners):
    with engine_at(place_at(tmp_path)) as engine:
        engine.submit(network(0), NEED, "fp32")
        engine._running[0].task = None  # it has answered, and is idle
        kill(engine)
        engine._running[0].process.wait()
        engine.submit(network(1), NEED, "fp32")
        assert engine.wait(30) == []
        assert [worker.task for worker in engine._running] == [network(1)]
        kill(engine)
        engine._running[0].process.wait()
        engine._running[0].say({"more": "which nobody hears"})


def ended(engine):
    """Return the outcome of the next task that ends."""
    while not (outcomes := engine.wait(1)):
        pass
    (outcome,) = outcomes
    return outcome


def kill(engine, number=0):
    os.kill(engine._running[number].process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_the_task_of_a_killed_process_is_begun_once_more_and_then_fails(tmp_path):
    context = place_at(tmp_path / "w")
    task = next(task for task in grid_of(plain_study(tmp_path)).values() if task.kind == "extract")
    need = resource_request(task, rows=1)
    with engine_at(context) as engine:
        assert engine.accepts(task)
        engine.submit(task, need, "fp32")
        assert not engine.accepts(task), "the one process is busy"
        kill(engine)
        outcome = ended(engine)
        assert outcome.task_record is not None, outcome.error
        assert len(outcome.task_record.entries) == 3
        other = Task(task.kind, task.title, {**task.what, "seed": 1})
        engine.submit(other, need, "fp32")
        kill(engine)
        assert engine.wait(30) == [], "it is begun again"
        kill(engine)
        outcome = ended(engine)
        assert outcome.task_record is None
        assert "ended by signal 9, 2 times, probably because of too little memory" in outcome.error


@pytest.mark.slow
def test_nothing_is_left_running(tmp_path):
    context = place_at(tmp_path / "w")
    task = next(iter(grid_of(plain_study(tmp_path)).values()))
    with engine_at(context) as engine:
        engine.submit(task, resource_request(task, rows=1), "fp32")
        process = engine._running[0].process
        assert process.poll() is None
    assert process.poll() is not None
