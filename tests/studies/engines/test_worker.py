"""The worker process: lines in, lines out, and gone as soon as nobody gives it tasks."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from tests.studies.studies import place_at, plain_study
from transferkit.studies.grid import grid_of
from transferkit.studies.outcome import Outcome, ResourceGrant


@pytest.mark.slow
def test_it_answers_each_task_with_its_outcome_and_ends_with_its_input(tmp_path):
    context = place_at(tmp_path / "w")
    task = next(iter(grid_of(plain_study(tmp_path)).values()))
    start = {"workspace": str(context.workspace.root), "data": str(context.workspace.data)}
    start["share"] = asdict(ResourceGrant(loaders=1, device="cpu"))  # one decoder is forked, as on a larger machine
    lines = [start, {"task": task.to_json(), "precision": "fp32"}]
    with subprocess.Popen(
        [sys.executable, "-m", "transferkit.studies.engines.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(json.dumps(line) + "\n" for line in lines))
        process.stdin.flush()
        outcome = Outcome.from_json(json.loads(process.stdout.readline()))
        assert outcome.task == task.id
        assert outcome.task_record is not None, outcome.error
        assert len(outcome.task_record.entries) == 3
        process.stdin.close()
        assert process.wait(timeout=10) == 1
