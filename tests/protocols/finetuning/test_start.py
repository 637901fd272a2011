"""The record holds the accuracy of the initial probe, and a note reports a score below it."""

from dataclasses import replace

import pytest

from tests.protocols.finetuning.tuning import MODEL, SMALL, tuned
from tests.protocols.pretraining.runs import Notes
from transferkit.core.workspace import Workspace
from transferkit.protocols.context import RunContext
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.finetuning.finetune import RunOptions
from transferkit.protocols.settings import ExtractSettings

QUIET = RunOptions(yes=True)


def drop_notes(notes):
    return [note for note in notes.notes if "ended below the linear probe" in note]


def test_a_score_below_the_initial_probe_prints_a_note(pictures, tmp_path):
    notes = Notes()
    ruinous = replace(SMALL, lr=(30.0,), epochs=1)
    (record,) = tuned(pictures, tmp_path, ruinous, reporter=notes, run_options=QUIET)
    start = record.extra_metrics["start_top1"]
    assert record.value < start
    (note,) = drop_notes(notes)
    assert f"{record.value:.3f} on test, after {start:.3f} for the probe" in note
    assert f"Fine-tuning {MODEL} on folder:{pictures}" in note


def test_the_start_is_the_linear_probe_that_the_network_would_score_without_training(pictures, tmp_path):
    notes = Notes()
    (record,) = tuned(pictures, tmp_path, replace(SMALL, lr=(0.0,), epochs=1), reporter=notes, run_options=QUIET)
    context = RunContext(Workspace(tmp_path, tmp_path / "data"))
    asked = [eval_request("linear", penalties=12)]
    (probe,) = Evaluator(context, ExtractSettings(size=32)).run([MODEL], [f"folder:{pictures}"], asked)
    assert record.extra_metrics["start_top1"] == pytest.approx(record.value) == pytest.approx(probe.value)
    assert not drop_notes(notes), "equal is not below"


def test_a_rate_of_zero_in_the_grid_keeps_the_probe_where_training_ruins_it(pictures, tmp_path):
    notes = Notes()
    either = replace(SMALL, lr=(30.0, 0.0), epochs=1)
    (record,) = tuned(pictures, tmp_path, either, reporter=notes, run_options=QUIET)
    assert (record.chosen["lr"], record.selected_on) == (0.0, "val")
    assert record.value == pytest.approx(record.extra_metrics["start_top1"])
    assert not drop_notes(notes)


def test_a_classifier_that_starts_from_zero_has_no_probe_to_be_compared_with(pictures, tmp_path):
    (record,) = tuned(pictures, tmp_path, replace(SMALL, epochs=1, head="zero"), run_options=QUIET)
    assert "start_top1" not in record.extra_metrics
