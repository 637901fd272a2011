"""The plan of a study: what is counted, and what is said of it."""

import pytest

from tests.studies.studies import carried_out, place_at, plain_study, small
from transferkit.studies.estimate import estimate, readable_seconds


def lines(plan):
    return {line.work: line for line in plan.lines}


def test_images_and_bytes_are_those_of_the_extraction(tmp_path):
    place = place_at(tmp_path / "w")
    study = plain_study(tmp_path)
    plan = estimate(study, place)
    found = lines(plan)
    assert plan.done == 0
    assert {name: line.tasks for name, line in found.items()} == {
        "extract": 2, "linear": 2, "fewshot": 4, "knn": 2,
    }  # fmt: skip
    assert found["extract"].images == 2 * 3 * (12 + 6 + 8)
    assert found["extract"].seconds > 0
    assert found["linear"].seconds is None
    assert "Nothing says yet how long linear, fewshot, knn takes" in plan.caption
    carried_out(study, place)
    written = sum(path.stat().st_size for path in place.workspace.features.glob("*/*.h5"))
    assert written <= found["extract"].bytes <= 3 * written + 2**20
    assert estimate(study, place).lines == ()
    assert estimate(study, place).done == 10


def test_probes_take_what_their_records_took(tmp_path):
    place = place_at(tmp_path / "w")
    run, _ = carried_out(plain_study(tmp_path), place)
    more = plain_study(tmp_path, '\n[[probe]]\nprotocol = "linear"\npenalties = 2\n')
    (line,) = estimate(more, place).lines
    took = [sum(r.seconds.values()) for r in run.results(place) if r.protocol == "linear"]
    assert line.tasks == 2
    assert line.seconds == pytest.approx(2 * sum(took) / len(took))


def test_runs_that_are_not_there_yet_are_counted(tmp_path):
    plan = estimate(small(tmp_path), place_at(tmp_path / "w"))
    assert not plan.problems
    assert lines(plan)["pretrain"].images == 2 * 36
    assert lines(plan)["extract"].images == 3 * 78


def test_what_cannot_be_opened_is_said_and_left_out(tmp_path):
    text = '\n[[probe]]\nmodels = ["random:nothing"]\n'
    plan = estimate(plain_study(tmp_path, text), place_at(tmp_path / "w"))
    assert len(plan.problems) == 1
    assert "nothing" in plan.problems[0]
    assert plan.problems[0] in plan.caption


@pytest.mark.parametrize(("seconds", "words"), [(75, "75 s"), (4000, "67 min"), (7200, "2.0 h")])
def test_times_are_readable(seconds, words):
    assert readable_seconds(seconds) == words
