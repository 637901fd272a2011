"""Estimate of the remaining time, from the durations of finished tasks of the same kind."""

import pytest

from transferkit.studies import eta as module
from transferkit.studies.eta import Eta, work_of
from transferkit.studies.grid import Task

TRAINING = Task("pretrain", "", {})
LINEAR = Task("probe", "", {"protocol": "linear"})
CKA = Task("analyze", "", {"analysis": "cka"})


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_probes_are_told_from_each_other_and_trainings_are_not():
    assert [work_of(task) for task in (TRAINING, LINEAR, CKA)] == ["pretrain", "linear", "cka"]


def test_a_long_first_task_says_nothing_of_short_ones(clock):
    eta = Eta(began=0.0)
    assert eta.remaining_text([TRAINING, *[LINEAR] * 916]) == "time left not known yet"
    clock[0] = 180
    eta.add_finished(TRAINING, 180)
    assert eta.remaining_text([LINEAR] * 916) == "time left not known yet"
    assert eta.remaining_text([TRAINING, *[LINEAR] * 915]) == "at least 3 min left"
    clock[0] = 182
    eta.add_finished(LINEAR, 2)
    assert eta.remaining_text([LINEAR] * 900) == "30 min left"


def test_what_former_runs_took_is_known_at_once(clock):
    eta = Eta(began=0.0)
    eta.add(LINEAR, 1)
    eta.add(LINEAR, 3)
    assert eta.remaining_text([LINEAR] * 10) == "20 s left"


def test_several_at_a_time_take_a_part_of_it(clock):
    eta = Eta(began=0.0)
    clock[0] = 10
    for _ in range(4):
        eta.add_finished(LINEAR, 10)
    assert eta.remaining_text([LINEAR] * 20) == "50 s left"
    clock[0] = 1000
    assert eta.remaining_text([LINEAR] * 8) == "80 s left", "waiting is no reason to expect less than one at a time"
