"""Estimated cost of training a detector, and the limit above which training is refused."""

from dataclasses import replace

import pytest
from torch.testing import assert_close

from tests.protocols.detecting.scenes import ALONE, MODEL, SMALL, eight
from tests.protocols.pretraining.runs import Notes
from transferkit.core.errors import UsageError
from transferkit.core.results import ResultStore
from transferkit.core.workspace import Workspace
from transferkit.models.catalog import load_encoder
from transferkit.protocols.context import RunContext
from transferkit.protocols.detecting import cost
from transferkit.protocols.detecting import detect as module
from transferkit.protocols.detecting.backbone import detector_of
from transferkit.protocols.detecting.cost import require_short_training
from transferkit.protocols.detecting.detect import detect


def test_hours_on_a_cpu_are_refused_with_their_number():
    settings = SMALL
    encoder = load_encoder(MODEL)
    detector = detector_of(encoder, settings, 3)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    with pytest.raises(UsageError, match=r"about [\d.]+ hours on this CPU: 400000000 images .* or add --yes"):
        require_short_training([(encoder.spec, detector, 4 * 10**8)], settings)
    assert_close(dict(detector.state_dict()), before, rtol=0, atol=0)
    require_short_training([(encoder.spec, detector, 16)], settings)


def test_one_step_is_enough_where_there_is_no_hope(monkeypatch):
    clock = iter([0, 10**9])
    monkeypatch.setattr("transferkit.protocols.detecting.cost.time.perf_counter", lambda: next(clock))
    encoder = load_encoder(MODEL)
    with pytest.raises(UsageError, match="hours on this CPU"):
        require_short_training([(encoder.spec, detector_of(encoder, SMALL, 3), 16)], SMALL)


def test_a_busy_moment_is_not_taken_for_slowness(monkeypatch):
    """Two slow steps followed by quick ones mean that another process used the processor."""
    clock = iter([0, 600, 1000, 1600, 2000, 2000.1])
    monkeypatch.setattr("transferkit.protocols.detecting.cost.time.perf_counter", lambda: next(clock))
    encoder = load_encoder(MODEL)
    require_short_training([(encoder.spec, detector_of(encoder, SMALL, 3), 16)], SMALL)


def test_what_has_no_record_yet_counts_together(monkeypatch, tmp_path):
    """Each data set takes 0.6 hours; an interrupted training counts with its remaining steps."""
    monkeypatch.setattr(cost, "_seconds_per_image", lambda *_, **__: 0.6 * 3600 / 16)
    data = {name: replace(eight(), spec=name) for name in ("mini/scenes", "voc0712")}
    monkeypatch.setattr(module, "open_detection", lambda name, **_: data[name])
    context = RunContext(Workspace(tmp_path, tmp_path / "data"), reporter=Notes())

    def asked(*names):
        return detect([MODEL], names, SMALL, context=context, trainer_config=ALONE).detections

    def refused(images):
        with pytest.raises(UsageError, match=rf"hours on this CPU: {images} images of 64 pixels"):
            asked(*data)

    refused(32)
    assert not list(ResultStore(tmp_path / "results"))
    step = module.Training._step

    def one_step(self, number, shown):
        if number:
            raise KeyboardInterrupt
        return step(self, number, shown)

    with monkeypatch.context() as patch:
        patch.setattr(module.Training, "_step", one_step)
        with pytest.raises(KeyboardInterrupt):
            asked("mini/scenes")
    refused(32 - 4)
    asked("mini/scenes")
    assert len(asked(*data)) == 2
