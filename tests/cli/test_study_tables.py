"""Tables of a study as a person sees them."""

from tests.terminal import printed
from transferkit.studies.estimate import EstimateLine, StudyEstimate
from transferkit.studies.run import StudyRun
from transferkit.studies.state import TaskState
from transferkit_cli.study_tables import failures_table, plan_table, state_table

RUN = StudyRun(
    "s",
    {
        "a": TaskState("pretrain s-ce", "done"),
        "b": TaskState("extract run:s-ce · mini/digits", "done"),
        "c": TaskState("linear · run:s-ce · mini/digits", "failed", "[red] no memory", node="n1"),
        "d": TaskState("linear · run:s-ce · mini/leaves", "done"),
        "e": TaskState("linear · pixels · mini/leaves", "blocked", "waits"),
    },
    (),
)


def shown(*tables):
    return printed(*tables, width=100)


def test_the_state_counts_tasks_by_model_and_protocol():
    lines = [line.strip() for line in shown(state_table(RUN)).splitlines()]
    assert lines[0] == "s: 3 of 5 tasks are done"
    run = next(line for line in lines if line.startswith("run:s-ce"))
    assert run.split() == ["run:s-ce", "██████░░", "1/1", "1/1", "1/2"]
    assert next(line for line in lines if line.startswith("pixels")).split() == ["pixels", "░░░░░░░░", "0/1"]


def test_failures_are_shown_as_they_were_said():
    text = shown(*failures_table(RUN))
    assert "1 failed, 1 wait for them" in text
    assert "[red] no memory (on n1)" in text
    assert list(failures_table(StudyRun("s", {"a": TaskState("x", "done")}, ()))) == []


def test_what_a_user_wrote_is_no_markup():
    mark = TaskState("k-NN [/b] · folder:/a[/i] · folder:/x[/red]", "done")
    assert "k-NN [/b]" in shown(state_table(StudyRun("s", {"a": mark}, ())))
    plan = StudyEstimate("s", 0, (EstimateLine("extract", 1),), ("/a[/b] is no folder.",))
    assert "/a[/b] is no folder." in shown(plan_table(plan))


def test_the_plan_shows_what_is_known():
    plan = StudyEstimate(
        "s", 3, (EstimateLine("extract", 2, 12_345, 2**20, 75.0), EstimateLine("linear", 4)), ("No data here.",)
    )
    text = shown(plan_table(plan))
    assert "s: 3 tasks are done, 6 are left" in text
    assert "12 345" in text
    assert "1.0 MiB" in text
    assert "75 s" in text
    assert "Unknown duration: linear" in " ".join(text.split())
    assert "No data here." in text
