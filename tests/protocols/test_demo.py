"""The demo, shortened: every step of it, on one data set."""

from dataclasses import replace

import pytest

from transferkit.core.workspace import Workspace
from transferkit.protocols import demo
from transferkit.protocols.context import RunContext


@pytest.mark.slow
def test_the_demo_trains_extracts_probes_and_does_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "PRETRAINED", replace(demo.PRETRAINED, epochs=2))
    monkeypatch.setattr(demo, "DATASETS", ("mini/digits",))
    context = RunContext(Workspace.at(tmp_path))
    found = demo.run_demo(context)
    models = {"imagenet-lite0", "run:demo-ce", "run:demo-joint", "random:resnet10t", "pixels"}
    for results in (found.at_last, found.neighbours, found.fewshot):
        assert {r.model for r in results} == models
        assert len(results) == len(models)
    accuracy = {r.model: r.value for r in found.at_last}
    assert accuracy["imagenet-lite0"] > accuracy["random:resnet10t"]
    shown = {r.model: r.preprocessing["transform"]["crop"] for r in found.at_last}
    assert shown["run:demo-ce"] == shown["random:resnet10t"]
    assert demo.run_demo(context).results.to_json() == found.results.to_json()
