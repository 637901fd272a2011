"""Running a study: what is skipped, what a failure costs, what a changed file says, what a crash loses."""

import errno
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.protocols.pretraining.runs import Notes, command
from tests.studies.studies import SMALL, carried_out, drawn, place_at, plain_study, small
from transferkit.core.errors import DiskSpaceError, StudyError, UsageError
from transferkit.core.locks import Lock
from transferkit.studies.run import run_study, state_of
from transferkit.studies.state import State


def never():
    raise AssertionError("there is nothing to do")


def records(context):
    """Return the values in the workspace by cell."""
    files = context.workspace.results.glob("*.json")
    return {value["cell"]: value["value"] for value in map(json.loads, (f.read_text() for f in files))}


def test_what_is_finished_is_not_begun(tmp_path):
    study, context = plain_study(tmp_path), place_at(tmp_path / "w")
    first, here = carried_out(study, context)
    assert len(here.began) == first.newly_done == len(first.marks) == 10
    assert len(first.results(context)) == 8
    again = run_study(study, context=context, engine=never)
    assert again.newly_done == 0
    assert again.cells == first.cells
    assert {mark.state for mark in again.marks.values()} == {"done"}


def test_a_lost_record_is_computed_again_and_only_that(tmp_path):
    study, context = plain_study(tmp_path), place_at(tmp_path / "w")
    first, _ = carried_out(study, context)
    before = records(context)
    (context.workspace.results / f"{first.cells[3][:32]}.json").unlink()
    again, here = carried_out(study, context)
    assert len(here.began) == 1
    assert records(context) == before
    assert again.cells == first.cells


def test_receipts_are_only_a_shortcut(tmp_path):
    study, context = plain_study(tmp_path), place_at(tmp_path / "w")
    carried_out(study, context)
    before = {path.name: path.stat().st_mtime_ns for path in context.workspace.results.glob("*.json")}
    for task_record in (context.workspace.studies / "finished").glob("*.json"):
        task_record.write_text("{")
    again, here = carried_out(study, context)
    assert len(here.began) == 10
    assert {path.name: path.stat().st_mtime_ns for path in context.workspace.results.glob("*.json")} == before
    assert len(again.cells) == 8


def test_features_that_nothing_needs_are_not_taken_again(tmp_path):
    study, context = plain_study(tmp_path), place_at(tmp_path / "w")
    carried_out(study, context)
    for path in context.workspace.features.glob("*/entry.json"):
        path.unlink()
    assert run_study(study, context=context, engine=never).newly_done == 0
    assert state_of(study, context).count("done") == 10


def test_other_images_are_another_study(tmp_path):
    study, context = plain_study(tmp_path), place_at(tmp_path / "w")
    carried_out(study, context)
    pictures = sorted((tmp_path / "pictures" / "train" / "dark").iterdir())
    pictures[0].write_bytes(pictures[1].read_bytes())
    assert state_of(study, context).count("done") == 0
    _, here = carried_out(study, context)
    assert len(here.began) == 10


def test_a_failure_is_recorded_blocks_what_needs_it_and_nothing_else(tmp_path):
    notes = Notes()
    context = place_at(tmp_path / "w", notes)
    study = plain_study(tmp_path, '\n[[probe]]\nmodels = ["run:nothing"]\npenalties = 3\n')
    run, _ = carried_out(study, context)
    assert (run.count("done"), run.count("failed"), run.count("blocked")) == (10, 1, 1)
    (failed,) = run.failed
    assert "nothing" in failed.error
    assert failed.title.startswith("extract run:nothing")
    assert any("extract run:nothing" in note and "failed" in note for note in notes.notes)
    (trace,) = (context.workspace.studies / "plain" / "errors").iterdir()
    assert "Traceback" in trace.read_text()
    shown = state_of(study, context)
    assert [mark.error for mark in shown.failed] == [failed.error]
    assert "waits for extract run:nothing" in next(
        mark.error for mark in shown.marks.values() if mark.state == "blocked"
    )
    _, again = carried_out(study, context)
    assert len(again.began) == 1, "what failed is tried again"


def test_a_trace_that_cannot_be_written_does_not_stop_the_study(tmp_path):
    notes = Notes()
    context = place_at(tmp_path / "w", notes)
    folder = context.workspace.studies / "plain"
    folder.mkdir(parents=True)
    (folder / "errors").write_text("in the way")
    study = plain_study(tmp_path, '\n[[probe]]\nmodels = ["run:nothing"]\npenalties = 3\n')
    run, _ = carried_out(study, context)
    assert (run.count("done"), run.count("failed"), run.count("blocked")) == (10, 1, 1)
    said = [note for note in notes.notes if note.startswith("The traceback of extract run:nothing")]
    assert len(said) == 1
    assert "cannot be stored" in said[0]
    assert "cannot be written" in said[0]


def test_a_failure_is_told_even_where_nothing_can_be_noted(tmp_path, monkeypatch):
    notes = Notes()
    context = place_at(tmp_path / "w", notes)
    study = plain_study(tmp_path, '\n[[probe]]\nmodels = ["run:nothing"]\npenalties = 3\n')
    kept = State.set

    def full(self, task, state, **more):
        if state == "failed":
            raise DiskSpaceError("The disk is full.")
        kept(self, task, state, **more)

    monkeypatch.setattr(State, "set", full)
    with pytest.raises(DiskSpaceError, match=r"^The disk is full\.$"):
        carried_out(study, context)
    assert any("extract run:nothing" in note and "failed" in note for note in notes.notes)


def test_a_full_disk_at_the_start_is_one_line(tmp_path, monkeypatch):
    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    study, context = plain_study(tmp_path), place_at(tmp_path / "w")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskSpaceError, match=r"The disk is full: .*lock could not be written"):
        run_study(study, context=context, engine=never)


def test_fail_fast_stops_at_the_first(tmp_path):
    context = place_at(tmp_path / "w")
    study = plain_study(tmp_path, '\n[[probe]]\nmodels = ["run:nothing"]\npenalties = 3\n')
    with pytest.raises(StudyError, match=r"extract run:nothing .* failed: .*nothing"):
        carried_out(study, context, fail_fast=True)
    shown = state_of(study, context)
    assert shown.count("failed") == 1
    assert shown.count("running") == 0
    assert shown.count("waiting") > 1


class Full:
    """An engine that has no room, ever."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def precision(self):
        return "fp32"

    def accepts(self, task):
        return False


def test_tasks_that_nothing_takes_are_an_error_and_not_a_success(tmp_path):
    study, context = plain_study(tmp_path), place_at(tmp_path / "w")
    words = r"No task is running, and no process accepts any of the 10 remaining tasks \(extract pixels .*; …\)\. Run"
    with pytest.raises(StudyError, match=words):
        run_study(study, context=context, engine=Full)
    assert state_of(study, context).count("waiting") == 10


def test_a_run_with_other_settings_under_the_same_name(tmp_path):
    """Numbers of the old run do not belong to the new study, and the error names settings of studies, not options."""
    notes = Notes()
    context = place_at(tmp_path / "w", notes)
    first, _ = carried_out(small(tmp_path), context)
    longer = small(tmp_path, text=SMALL.replace("epochs = 1", "epochs = 2"))
    before = state_of(longer, context)
    assert {mark.title for mark in before.marks.values() if mark.state == "done"} == {
        mark.title for mark in first.marks.values() if " pixels" in mark.title
    }
    run, here = carried_out(longer, context)
    assert len(here.began) == 2
    assert "8 tasks are to be done again (extract run:small-ce" in notes.notes[0]
    assert [mark.title for mark in run.failed] == ["pretrain small-ce", "pretrain small-joint"]
    assert run.count("blocked") == 8
    assert "epochs was 1 and is 2" in run.failed[0].error
    folder = context.workspace.runs / "small-ce"
    assert run.failed[0].error.endswith(
        f"set name in [[pretrain]] instead of --name, and instead of --no-resume remove the folder {folder}."
    )
    assert run_study(small(tmp_path), context=context, engine=never).newly_done == 0, "what was finished still is"


def test_a_changed_file_says_which_tasks_are_new_and_which_are_gone(tmp_path):
    notes = Notes()
    context = place_at(tmp_path / "w", notes)
    carried_out(plain_study(tmp_path), context)
    assert not notes.notes
    text = '\n[[probe]]\nprotocol = "knn"\nk = [5]\n'
    _, here = carried_out(plain_study(tmp_path, text), context)
    assert len(here.began) == 2
    assert "2 tasks are new (knn · pixels" in notes.notes[0]
    listed = context.workspace.studies / "plain" / "change.txt"
    assert notes.notes[0].endswith(f"Finished tasks are kept. All tasks are listed in {listed}.")
    assert len(listed.read_text().splitlines()) == 2
    carried_out(plain_study(tmp_path), context)
    assert "2 tasks are gone (knn · pixels" in notes.notes[-1]
    assert "Finished tasks are kept" in notes.notes[-1]


def test_two_runs_of_one_study_at_once_are_refused(tmp_path):
    study, context = plain_study(tmp_path), place_at(tmp_path / "w")
    lock = context.workspace.studies / "plain" / "lock"
    with Lock(lock), pytest.raises(UsageError, match=r"^Another process is running the study plain"):
        run_study(study, context=context, engine=never)

    class Second(Full):
        def __enter__(self):
            run_study(study, context=context, engine=never)

    words = rf"^Another process \({os.getpid()} on {socket.gethostname()}\) is running the study plain\. Wait"
    with pytest.raises(UsageError, match=words):
        run_study(study, context=context, engine=Second)
    assert not lock.exists()


def test_a_run_waits_for_a_command_that_holds_the_lock_for_an_instant(tmp_path):
    """``state_of`` takes the lock to find out whether the study is running."""
    study, context = plain_study(tmp_path), place_at(tmp_path / "w")
    lock = Lock(context.workspace.studies / "plain" / "lock")
    assert lock.acquire(wait=False)
    release = threading.Timer(0.1, lock.release)
    release.start()
    with pytest.raises(StudyError, match=r"^No task is running"):
        run_study(study, context=context, engine=Full)
    release.join()


def test_a_disk_that_cannot_be_written_still_shows_what_was_noted(tmp_path, monkeypatch):
    study, context = plain_study(tmp_path), place_at(tmp_path / "w")
    carried_out(study, context)
    (context.workspace.studies / "plain" / "lock").touch()  # of a run that was killed

    def refused(self, *, wait):
        raise DiskSpaceError("The lock cannot be written.")

    monkeypatch.setattr(Lock, "acquire", refused)
    assert state_of(study, context).count("done") == 10
    with pytest.raises(DiskSpaceError, match=r"^The lock cannot be written\.$"):
        run_study(study, context=context, engine=never)


def test_a_run_that_is_trained_again_makes_its_features_old(tmp_path):
    study, context = small(tmp_path), place_at(tmp_path / "w")
    run, _ = carried_out(study, context)
    assert run.count("done") == len(run.marks)
    weights = context.workspace.runs / "small-ce" / "encoder.safetensors"
    os.utime(weights)
    shown = state_of(study, context)
    old = [mark.title for mark in shown.marks.values() if mark.state != "done"]
    assert old
    assert all("run:small-ce" in title or title == "pretrain small-ce" for title in old)
    assert run_study(study, context=context, engine=lambda: carried(context)).failed == []


def carried(context):
    from tests.studies.studies import Here

    return Here(context)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_twice_at_bad_moments_the_table_is_that_of_an_undisturbed_run(tmp_path):
    """The study is killed while a network is trained, and again while features are probed."""
    file = tmp_path / "small.toml"
    file.write_text(SMALL.format(pictures=drawn(tmp_path)))
    calm, context = place_at(tmp_path / "calm"), place_at(tmp_path / "w")

    def begun(at):
        return command("transferkit", "study", "run", str(file), "--workspace", str(at.workspace.root), "--json")

    undisturbed = begun(calm)
    out, said = undisturbed.communicate()
    assert undisturbed.returncode == 0, said
    receipts = context.workspace.studies / "finished"
    for folder, name in ((context.workspace.runs, "small-ce/run.json"), (receipts, "probe-*.json")):
        process = begun(context)
        while not list(folder.glob(name)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    tasks = len(state_of(small(tmp_path), context).marks)
    assert len(list(receipts.glob("*.json"))) < tasks, "the second kill came too late to tell anything"
    last = begun(context)
    out, said = last.communicate()
    assert last.returncode == 0, said
    assert json.loads(out)["tasks"]["done"] == tasks
    assert records(context) == records(calm)
