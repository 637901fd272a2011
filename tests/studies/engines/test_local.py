"""Processes of this machine: what they are given, and what becomes of the task of one that is killed."""

import os
import signal

import pytest

from tests.studies.studies import place_at, plain_study
from transferkit.core.errors import UsageError
from transferkit.studies.engines.engine import need_of
from transferkit.studies.engines.local import LocalEngine, cores, default_workers
from transferkit.studies.grid import Task, grid_of


def engine_at(place, workers=1):
    return LocalEngine(place.workspace, place.workspace.studies / "logs", workers)


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--workers 0 is too few: give 1 or more"):
        engine_at(place_at(tmp_path), workers=0)


def test_threads_and_memory_are_divided(tmp_path):
    one, four = engine_at(place_at(tmp_path), 1).share, engine_at(place_at(tmp_path), 4).share
    assert (one.threads, four.threads) == (cores(), max(1, cores() // 4))
    assert four.memory == pytest.approx(one.memory / 4, rel=0.2)
    assert one.loaders is None
    assert four.loaders == four.threads // 4


def test_no_more_workers_than_the_memory_carries(monkeypatch):
    from transferkit.studies.engines import local

    monkeypatch.setattr(local, "cores", lambda: 64)
    monkeypatch.setattr(local, "free_memory_bytes", lambda: 10 * 2**30)
    assert default_workers() == 3
    monkeypatch.setattr(local, "free_memory_bytes", lambda: 2**20)
    assert default_workers() == 1
    monkeypatch.setattr(local, "free_memory_bytes", lambda: 2**50)
    assert default_workers() == 32


def ended(engine):
    """What the next task to end came to."""
    while not (outcomes := engine.wait(1)):
        pass
    (outcome,) = outcomes
    return outcome


def kill(engine):
    os.kill(engine._running[0].process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_the_task_of_a_killed_process_is_begun_once_more_and_then_fails(tmp_path):
    place = place_at(tmp_path / "w")
    task = next(task for task in grid_of(plain_study(tmp_path)).values() if task.kind == "extract")
    need = need_of(task, rows=1)
    with engine_at(place) as engine:
        assert engine.accepts(task)
        engine.submit(task, need, "fp32")
        assert not engine.accepts(task), "the one process is busy"
        kill(engine)
        outcome = ended(engine)
        assert outcome.receipt is not None, outcome.error
        assert len(outcome.receipt.entries) == 3
        other = Task(task.kind, task.title, {**task.what, "seed": 1})
        engine.submit(other, need, "fp32")
        kill(engine)
        assert engine.wait(30) == [], "it is begun again"
        kill(engine)
        outcome = ended(engine)
        assert outcome.receipt is None
        assert "ended by signal 9, 2 times; a lack of memory does that" in outcome.error


@pytest.mark.slow
def test_nothing_is_left_running(tmp_path):
    place = place_at(tmp_path / "w")
    task = next(iter(grid_of(plain_study(tmp_path)).values()))
    with engine_at(place) as engine:
        engine.submit(task, need_of(task, rows=1), "fp32")
        process = engine._running[0].process
        assert process.poll() is None
    assert process.poll() is not None
