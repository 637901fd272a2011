"""The estimated duration of fine-tuning, and the refusal of training that takes hours."""

from dataclasses import replace

import pytest
import torch

from tests.protocols.finetuning.tuning import ALONE, MODEL, SMALL, Stop, tuned
from tests.protocols.pretraining.runs import Notes, draw_pictures
from transferkit.core.errors import UsageError
from transferkit.core.results import ResultStore
from transferkit.core.workspace import Workspace
from transferkit.models.catalog import load_encoder
from transferkit.protocols.context import RunContext
from transferkit.protocols.finetuning import cost
from transferkit.protocols.finetuning.cost import check_on_rank_zero, require_short_training, total_training_images
from transferkit.protocols.finetuning.finetune import SETTING, RunOptions, finetune
from transferkit.protocols.finetuning.training import TrainingLoop


def test_training_for_hours_on_a_cpu_needs_yes():
    encoder = load_encoder(MODEL).at(32)
    long = replace(SMALL, lr=(0.1, 0.01), epochs=50, search_epochs=20)
    assert total_training_images(long, 1000) == 50_000 + 2 * 20_000
    assert total_training_images(replace(long, steps=10), 1000) == 80 + 2 * 80
    with pytest.raises(UsageError, match=r"would take about \d+\.\d hours on this CPU: \d+ images of 32 pixels.*--yes"):
        require_short_training([(encoder, 10**9)], long)
    require_short_training([(encoder, 100)], SMALL)


def test_cells_without_a_record_are_added_up(pictures, tmp_path, monkeypatch):
    """Each data set alone takes 0.6 hours."""
    images = 2 * 54
    monkeypatch.setattr(cost, "_seconds_per_image", lambda *_: 0.6 * 3600 / images)
    other = draw_pictures(tmp_path / "other")
    context = RunContext(Workspace(tmp_path, tmp_path / "data"), reporter=Notes())

    def asked(*folders):
        data = [f"folder:{folder}" for folder in folders]
        return finetune([MODEL], data, replace(SMALL, head="zero"), context=context, trainer_config=ALONE).results

    with pytest.raises(UsageError, match=f"about 1.2 hours on this CPU: {2 * images} images of 32 pixels"):
        asked(pictures, other)
    assert not list(ResultStore(tmp_path / "results"))
    asked(pictures)
    assert len(asked(pictures, other)) == 2


def test_an_interrupted_training_counts_its_remaining_images(pictures, tmp_path, monkeypatch):
    """The training is interrupted after one of two epochs, and then after one of two settings."""
    monkeypatch.setattr(cost, "_seconds_per_image", lambda *_: 3600 / 10)  # ten images per hour
    one, no = replace(SMALL, head="zero"), RunOptions()
    allowed, step = [], TrainingLoop._step

    def counted(self, *rest):
        if not allowed:
            raise Stop
        allowed.pop()
        return step(self, *rest)

    monkeypatch.setattr(TrainingLoop, "_step", counted)

    def left(settings, context):
        with pytest.raises(UsageError, match="on this CPU") as refused:
            tuned(pictures, tmp_path / context, settings, run_options=no)
        return int(str(refused.value).partition("CPU: ")[2].split()[0])

    assert left(one, "one") == 2 * 54
    allowed += [None] * 7  # into the second epoch
    with pytest.raises(Stop):
        tuned(pictures, tmp_path / "one", one)
    assert left(one, "one") == 2 * 54 - 6 * 8
    grid = replace(one, lr=(0.01, 0.02))
    assert left(grid, "grid") == 3 * 2 * 54
    allowed += [None] * (8 + 5)  # of 36 rows each: into the second setting's second epoch
    with pytest.raises(Stop):
        tuned(pictures, tmp_path / "grid", grid)
    assert [r.protocol for r in ResultStore(tmp_path / "grid" / "results")] == [SETTING]
    assert left(grid, "grid") == 2 * 2 * 54 - 4 * 8


class Process:
    """A stand-in for one of two processes; ``said`` is the value that the first one broadcasts."""

    def __init__(self, rank, said=None):
        self.is_global_zero, self.said = rank == 0, said

    def broadcast(self, value):
        return value if self.is_global_zero else self.said


def test_rank_zero_measures_and_all_processes_raise():
    refusal = UsageError("hours")

    def refuse():
        raise refusal

    with pytest.raises(UsageError, match="hours"):
        check_on_rank_zero(Process(0), refuse)
    with pytest.raises(UsageError, match="hours"):
        check_on_rank_zero(Process(1, said=refusal), lambda: pytest.fail("measured twice"))
    check_on_rank_zero(Process(0), lambda: None)
    check_on_rank_zero(Process(1), lambda: pytest.fail("measured twice"))


def test_measuring_leaves_the_network_as_it_was():
    encoder = load_encoder(MODEL).at(32)
    before = {name: value.clone() for name, value in encoder.module.state_dict().items()}
    require_short_training([(encoder, 1)], replace(SMALL, bn_stats="update"))
    assert all(torch.equal(value, before[name]) for name, value in encoder.module.state_dict().items())
