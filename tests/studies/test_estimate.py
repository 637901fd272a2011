"""The plan of a study: what is counted, and what is said of it."""

import pytest
import torch
from torch import nn

from tests.studies.studies import carried_out, place_at, plain_study, small
from transferkit.core.devices import Compute
from transferkit.core.preprocessing import Preprocessing
from transferkit.core.progress import readable_seconds
from transferkit.core.workspace import Workspace
from transferkit.models.encoder import encoder_of
from transferkit.protocols.context import RunContext
from transferkit.studies import estimate as module
from transferkit.studies.estimate import estimate
from transferkit.studies.reading import parse_study
from transferkit.studies.task_store import TaskStore


def lines(plan):
    return {line.work: line for line in plan.lines}


def test_images_and_bytes_are_those_of_the_extraction(tmp_path):
    context = place_at(tmp_path / "w")
    study = plain_study(tmp_path)
    plan = estimate(study, context)
    found = lines(plan)
    assert plan.done == 0
    assert {name: line.tasks for name, line in found.items()} == {
        "extract": 2, "linear": 2, "fewshot": 4, "knn": 2,
    }  # fmt: skip
    assert found["extract"].images == 2 * 3 * (12 + 6 + 8)
    assert found["extract"].seconds > 0
    assert found["linear"].seconds is None
    assert "Unknown duration: linear, fewshot, knn" in plan.caption
    carried_out(study, context)
    written = sum(path.stat().st_size for path in context.workspace.features.glob("*/*.h5"))
    assert written <= found["extract"].bytes <= 3 * written + 2**20
    assert estimate(study, context).lines == ()
    assert estimate(study, context).done == 10


def test_probes_take_what_their_records_took(tmp_path):
    context = place_at(tmp_path / "w")
    run, _ = carried_out(plain_study(tmp_path), context)
    more = plain_study(tmp_path, '\n[[probe]]\nprotocol = "linear"\npenalties = 2\n')
    (line,) = estimate(more, context).lines
    took = [sum(r.seconds.values()) for r in run.results(context) if r.protocol == "linear"]
    assert line.tasks == 2
    assert line.seconds == pytest.approx(2 * sum(took) / len(took))


def test_every_layer_of_a_probe_takes_its_time(tmp_path):
    context = place_at(tmp_path / "w")
    run, _ = carried_out(plain_study(tmp_path), context)
    took = [sum(r.seconds.values()) for r in run.results(context) if r.protocol == "knn"]
    layers = 'layers = ["layer1", "layer2", "last"]\nmodels = ["random:test_resnet"]'
    more = plain_study(tmp_path, f'\n[[probe]]\nprotocol = "knn"\nk = 5\n{layers}\n')
    found = lines(estimate(more, context))
    assert found["knn"].tasks == 1
    assert found["knn"].seconds == pytest.approx(3 * sum(took) / len(took))


def test_a_layer_that_a_model_lacks_is_said_and_the_others_are_counted(tmp_path):
    text = '\n[[probe]]\nlayers = ["layr1"]\nmodels = ["random:test_resnet"]\n'
    context = place_at(tmp_path / "w")
    plan = estimate(plain_study(tmp_path, text), context)
    assert any("No layer named 'layr1'" in problem for problem in plan.problems)
    assert lines(plan)["extract"].bytes == lines(estimate(plain_study(tmp_path), context))["extract"].bytes


class Watched(nn.Module):
    """Notes where it is put and in what precision it is run."""

    def __init__(self):
        super().__init__()
        self.linear, self.places, self.ran = nn.Linear(3, 3), [], set()

    def to(self, *args, **named):
        self.places.append(str(args[0]))
        return self

    def forward(self, x):
        y = self.linear(x.mean((2, 3)))
        self.ran.add((len(x), y.dtype))
        return y


def test_networks_are_timed_where_and_as_precisely_as_they_will_run(monkeypatch):
    asked = []

    def chosen(device, precision):
        asked.append((device, precision))
        return Compute(torch.device("cpu", 0), "bf16")

    network = Watched()
    encoder = encoder_of(network, name="watched", preprocessing=Preprocessing(resize=8, crop=8))
    monkeypatch.setattr(module, "choose_compute", chosen)
    monkeypatch.setattr(module, "_TIMINGS", 2)
    study = parse_study(
        'precision = "bf16"\nmodels = ["pixels"]\ndata = ["mini/digits@shots=1"]\n[[probe]]\n', where="s.toml"
    )
    counting = module._Counting(
        study, RunContext(Workspace.at("nowhere")), TaskStore(RunContext(Workspace.at("nowhere")))
    )
    assert counting._image_seconds(encoder, 8) > 0
    assert asked == [("auto", "bf16")]
    assert network.places == ["cpu:0", "cpu"]
    assert network.ran == {(16, torch.bfloat16)}


def test_runs_that_are_not_there_yet_are_counted(tmp_path):
    plan = estimate(small(tmp_path), place_at(tmp_path / "w"))
    assert not plan.problems
    assert lines(plan)["pretrain"].images == 2 * 36
    assert lines(plan)["extract"].images == 3 * 78


def test_what_cannot_be_opened_is_said_and_left_out(tmp_path):
    text = '\n[[probe]]\nmodels = ["run:nothing"]\n'
    plan = estimate(plain_study(tmp_path, text), place_at(tmp_path / "w"))
    assert len(plan.problems) == 1
    assert "nothing" in plan.problems[0]
    assert plan.problems[0] in plan.caption


@pytest.mark.parametrize(("seconds", "words"), [(75, "75 s"), (4000, "67 min"), (7200, "2.0 h")])
def test_times_are_readable(seconds, words):
    assert readable_seconds(seconds) == words
