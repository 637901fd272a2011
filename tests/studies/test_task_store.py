"""Receipts: everything that would make a finished task unfinished is in the stamp."""

import json
import os
from dataclasses import replace

import pytest

from tests.studies.studies import carried_out, place_at, plain_study
from transferkit.semantics import TARGETS, target
from transferkit.studies import task_store
from transferkit.studies.grid import grid_of
from transferkit.studies.reading import parse_study
from transferkit.studies.task_store import TaskStore, unfinished


@pytest.fixture
def one(tmp_path):
    """A probe of a network from a file, its study carried out."""
    import torch
    from safetensors.torch import save_file

    from transferkit.models.catalog import load_encoder

    context = place_at(tmp_path / "w")
    path = tmp_path / "weights.safetensors"
    state = load_encoder("random:test_resnet").module.state_dict()
    save_file({name: torch.as_tensor(value).contiguous() for name, value in state.items()}, path)
    text = f'models = ["file:{path}#test_resnet"]\ndata = ["folder:{{pictures}}"]\n[[probe]]\nprotocol = "knn"\n'
    from tests.studies.studies import small

    study = small(tmp_path, '[sizes]\n"file:*" = 32\n', text=text)
    carried_out(study, context)
    return study, context, path


def state(study, context):
    tasks = grid_of(study)
    return sorted(task.kind for task in unfinished(tasks, TaskStore(context).finished(tasks)))


def test_nothing_is_left_of_what_was_carried_out(one):
    study, context, _ = one
    assert state(study, context) == []


def test_other_weights_in_the_file(one):
    study, context, path = one
    os.utime(path, ns=(1, 1))
    assert state(study, context) == ["extract", "probe"]
    path.unlink()
    assert state(study, context) == ["extract", "probe"]


def test_a_semantic_task_is_unfinished_once_a_target_has_another_definition(one, monkeypatch):
    study, context, _ = one
    (probe,) = [task for task in grid_of(study).values() if task.kind == "probe"]
    semantic = replace(probe, what={**probe.what, "protocol": "semantic"})
    before = TaskStore(context).stamp(probe), TaskStore(context).stamp(semantic)
    other = {**TARGETS, "hue": replace(TARGETS["hue"], version=99)}
    monkeypatch.setattr(target, "TARGETS", other)
    assert TaskStore(context).stamp(probe) == before[0]
    assert TaskStore(context).stamp(semantic) != before[1]


@pytest.mark.parametrize("what", ["version", "record"])
def test_another_version(one, monkeypatch, what):
    study, context, _ = one
    if what == "version":
        monkeypatch.setattr(task_store, "_versions", lambda: {"transferkit": "99"})
    else:
        monkeypatch.setattr(task_store, "RECORD_VERSION", 99)
    assert state(study, context) == ["extract", "probe"]


def test_a_receipt_of_another_form_counts_for_nothing(one):
    study, context, _ = one
    for path in (context.workspace.studies / "finished").glob("probe-*.json"):
        value = json.loads(path.read_text())
        del value["cells"]
        path.write_text(json.dumps(value))
    assert state(study, context) == ["probe"]


def test_data_that_are_not_there_are_unfinished_and_not_an_error(tmp_path):
    study = parse_study(f'models = ["pixels"]\ndata = ["folder:{tmp_path}/no"]\n[[probe]]\n', where="s.toml")
    assert state(study, place_at(tmp_path / "w")) == ["extract", "probe"]


def test_a_run_is_finished_only_at_its_end(tmp_path):
    from transferkit.studies.grid import Task

    task_store = TaskStore(place_at(tmp_path / "w"))
    task = Task("pretrain", "", {"run": "r", "settings": {}, "devices": 1})
    assert task_store.stamp(task) is None
    folder = tmp_path / "w" / "runs" / "r"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{")
    assert task_store.stamp(task) is None


def test_features_are_wanted_only_where_a_question_is_left(tmp_path):
    tasks = grid_of(plain_study(tmp_path))
    names = list(tasks)
    probes = {name: None for name in names if name.startswith("probe")}
    kept = dict(list(probes.items())[1:])
    left = unfinished(tasks, kept)
    assert [task.kind for task in left] == ["extract", "probe"]
    assert unfinished(tasks, probes) == []
