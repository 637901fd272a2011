"""How long the rest takes: known from what was done, work by work, and said as far as it is known."""

import pytest

from transferkit.studies import pace as module
from transferkit.studies.grid import Task
from transferkit.studies.pace import Pace, work_of

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
    pace = Pace(began=0.0)
    assert pace.outlook([TRAINING, *[LINEAR] * 916]) == "time left not known yet"
    clock[0] = 180
    pace.end(TRAINING, 180)
    assert pace.outlook([LINEAR] * 916) == "time left not known yet"
    assert pace.outlook([TRAINING, *[LINEAR] * 915]) == "at least 3 min left"
    clock[0] = 182
    pace.end(LINEAR, 2)
    assert pace.outlook([LINEAR] * 900) == "30 min left"


def test_what_former_runs_took_is_known_at_once(clock):
    pace = Pace(began=0.0)
    pace.know(LINEAR, 1)
    pace.know(LINEAR, 3)
    assert pace.outlook([LINEAR] * 10) == "20 s left"


def test_several_at_a_time_take_a_part_of_it(clock):
    pace = Pace(began=0.0)
    clock[0] = 10
    for _ in range(4):
        pace.end(LINEAR, 10)
    assert pace.outlook([LINEAR] * 20) == "50 s left"
    clock[0] = 1000
    assert pace.outlook([LINEAR] * 8) == "80 s left", "waiting is no reason to expect less than one at a time"
