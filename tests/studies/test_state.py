"""The state of a study is stored for later processes; a damaged state file is ignored."""

from transferkit.studies.grid import Task
from transferkit.studies.state import Change, State, TaskState

ONE, TWO = Task("probe", "one", {"a": 1}), Task("probe", "two", {"a": 2})
GRID = {ONE.id: ONE, TWO.id: TWO}


def test_marks_are_read_as_they_were_written(tmp_path):
    state = State(tmp_path, "bf16")
    state.begin(GRID, {ONE.id: 2.5})
    state.set(TWO, "failed", error="no memory", seconds=1.0, node="n1")
    state.write(now=True)
    again = State.read(tmp_path)
    assert again.precision == "bf16"
    assert again.task_states == {
        ONE.id: TaskState("one", "done", seconds=2.5),
        TWO.id: TaskState("two", "failed", "no memory", 1.0, "n1"),
    }


def test_a_damaged_file_is_an_empty_state(tmp_path):
    for text in ("{", "[]", '{"precision": "", "tasks": {"a": {"colour": 1}}}'):
        (tmp_path / "tasks.json").write_text(text)
        assert State.read(tmp_path).task_states == {}


def test_a_change_names_what_is_new_and_what_is_gone(tmp_path):
    state = State(tmp_path)
    assert state.change(GRID, GRID) is None, "a first run changes nothing"
    state.begin({ONE.id: ONE}, {})
    assert state.change({ONE.id: ONE}, {ONE.id}) is None
    assert state.change({TWO.id: TWO}, {TWO.id}) == Change(("two",), ("one",))
    state.begin(GRID, {ONE.id: 1.0})
    assert state.change(GRID, {TWO.id}) is None
    assert state.change(GRID, GRID) == Change((), (), ("one",))
    assert "ran: 1 task is to be done again (one). Finished tasks" in str(Change((), (), ("one",)))
    assert str(Change(("two",), ("one",))) == (
        "The study has changed since it last ran: 1 task is new (two), and 1 task is gone (one). "
        "Finished tasks are kept."
    )
    assert "5 tasks are new (a; b; c; …)" in str(Change(tuple("abcde"), ()))


def test_a_change_soon_after_another_is_written_a_little_later(tmp_path, monkeypatch):
    from transferkit.studies import state as module

    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    state = State(tmp_path)
    state.begin(GRID, {})
    state.set(ONE, "running")
    assert State.read(tmp_path).task_states[ONE.id].state == "waiting"
    now[0] += 2
    state.write()
    assert State.read(tmp_path).task_states[ONE.id].state == "running"


def test_a_trace_lies_beside_the_state(tmp_path):
    path = State(tmp_path).keep_trace(ONE, "Traceback: here")
    assert path.read_text() == "one\n\nTraceback: here"


def test_every_title_of_a_change_can_be_read(tmp_path):
    path = State(tmp_path).keep_change(Change(tuple("abcde"), ("f",)))
    assert path.read_text() == "new: a\nnew: b\nnew: c\nnew: d\nnew: e\ngone: f\n"
