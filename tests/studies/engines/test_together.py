"""A run that several processes of one machine train together, as a task."""

import pytest

from tests.studies.studies import SMALL, carried_out, place_at, small
from transferkit.models.runs import Run


@pytest.mark.slow
def test_two_processes_train_a_run_and_a_third_probes_it(tmp_path):
    place = place_at(tmp_path / "w")
    text = SMALL.replace('loss = ["ce", "joint"]', 'loss = "ce"\ndevices = 2')
    run, _ = carried_out(small(tmp_path, text=text), place)
    assert not run.failed, run.failed
    description = Run.named("small-ce", place.workspace.runs).read()
    assert description.finished
    assert description.identity["processes"] == 2


@pytest.mark.slow
def test_what_the_processes_say_is_the_error(tmp_path):
    place = place_at(tmp_path / "w")
    text = SMALL.replace('loss = ["ce", "joint"]', 'loss = "ce"\ndevices = 2\nbatch = 100000')
    run, _ = carried_out(small(tmp_path, text=text.replace("batch = 8\n", "")), place)
    (failed,) = run.failed
    assert failed.error.startswith("The 2 processes of the run small-ce ended: ")
    assert "Traceback" not in failed.error
