"""Runs by name: which there are, and what they load."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from transferkit.core.errors import CheckpointError, UnknownNameError, UsageError
from transferkit.core.preprocessing import Preprocessing
from transferkit.models.backbone import backbone_of
from transferkit.models.catalog import default_model, load_encoder
from transferkit.models.runs import Description, Run, finished_runs, known_runs

VIEW = Preprocessing(resize=64, crop=48, mean=(0.1, 0.2, 0.3))
DESCRIPTION = Description("timm:test_resnet", VIEW, "ce on leaves", ("oak", "ash"), {"epochs": 3})


def make_run(runs: Path, name: str, *, finished: str = "2026-01-01", seed: int = 0, classes: int = 2) -> Run:
    run = Run.named(name, runs)
    backbone = backbone_of(load_encoder(f"random:test_resnet@{seed}").at(64))
    head = torch.nn.Linear(backbone.dim, classes)
    run.describe(replace(DESCRIPTION, finished=finished))
    save_file({n: t.contiguous() for n, t in backbone.weights(head).items()}, run.newest)
    return run


def test_a_description_survives_the_disk(tmp_path):
    run = Run.named("r", tmp_path)
    assert not run.begun
    run.describe(DESCRIPTION)
    assert run.begun
    assert run.read() == DESCRIPTION


def test_a_run_loads_as_the_network_it_is_without_its_classifier(tmp_path):
    make_run(tmp_path, "r", seed=5)
    encoder = load_encoder("run:r", runs=tmp_path)
    assert (encoder.spec, encoder.architecture, encoder.preprocessing) == ("run:r", "timm:test_resnet", VIEW)
    assert encoder.source == "ce on leaves"
    expected = backbone_of(load_encoder("random:test_resnet@5").at(48))
    images = torch.rand(2, 3, 48, 48)
    with torch.inference_mode():
        assert_close(encoder.module(images), expected.module.eval()(images), rtol=0, atol=0)


def test_latest_is_the_run_that_finished_last(tmp_path):
    make_run(tmp_path, "b", finished="2026-01-02")
    make_run(tmp_path, "a", finished="2026-01-03")
    make_run(tmp_path, "c", finished="")  # under way
    assert [run.name for run in known_runs(tmp_path)] == ["a", "b", "c"]
    assert [run.name for run in finished_runs(tmp_path)] == ["b", "a"]
    assert load_encoder("latest", runs=tmp_path).spec == "run:a"
    assert load_encoder("run:c", runs=tmp_path).spec == "run:c"
    assert default_model(tmp_path) == "latest"


def test_without_a_finished_run_there_is_no_latest(tmp_path):
    make_run(tmp_path, "r", finished="")
    assert default_model(tmp_path) == default_model(tmp_path / "nowhere") == "imagenet-lite0"
    with pytest.raises(UsageError, match=r"no finished pretraining run in .*transferkit pretrain"):
        load_encoder("latest", runs=tmp_path)


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("run:leafs", UnknownNameError, "No run named 'leafs' .*Did you mean 'run:leaves'"),
        ("run:zzz", UnknownNameError, "There are: begun, leaves"),
        ("run:", UsageError, "run:NAME or run:NAME@best"),
        ("latest:1", UsageError, "run:NAME or run:NAME@best"),
        ("run:leaves@worst", UsageError, "run:NAME or run:NAME@best"),
        ("run:leaves@best", UsageError, "has not been watched yet, and has no best. Use run:leaves"),
        ("run:begun", UsageError, "has kept no weights yet.*pretrain --name begun"),
        ("run:../leaves", UsageError, "cannot be named"),
    ],
)
def test_a_missing_run_is_refused(spec, error, words, tmp_path):
    make_run(tmp_path, "leaves")
    Run.named("begun", tmp_path).describe(DESCRIPTION)
    with pytest.raises(error, match=words):
        load_encoder(spec, runs=tmp_path)


def test_without_a_workspace_there_are_no_runs():
    with pytest.raises(UnknownNameError, match="There are: none"):
        load_encoder("run:r")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"preprocessing": {}}', '{"preprocessing": null}'])
def test_a_damaged_description_is_reported_and_hides_no_other_run(text, tmp_path):
    make_run(tmp_path, "good")
    run = make_run(tmp_path, "bad")
    (run.folder / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match="does not describe a run"):
        load_encoder("run:bad", runs=tmp_path)
    assert load_encoder("latest", runs=tmp_path).spec == "run:good"


def test_damaged_weights_are_refused(tmp_path):
    run = make_run(tmp_path, "r")
    run.newest.write_bytes(run.newest.read_bytes()[:-10])
    with pytest.raises(CheckpointError):
        load_encoder("run:r", runs=tmp_path)
