"""Training of a detector: refused inputs, and the hint if memory runs out."""

from dataclasses import replace

import pytest
import torch
from lightning.fabric import Fabric
from torch.testing import assert_close

from tests.protocols.detecting.scenes import MODEL, SMALL, detected, eight
from tests.protocols.pretraining.runs import Notes
from transferkit.core.errors import ModelError, UsageError
from transferkit.detection.backbone import normalisations
from transferkit.models.catalog import load_encoder
from transferkit.protocols.detecting import training
from transferkit.protocols.detecting.backbone import detector_of, plan_of
from transferkit.protocols.detecting.presets import preset_settings
from transferkit.protocols.detecting.training import DetectionJob, Training, parameter_groups


def test_processes_must_be_able_to_share(monkeypatch, tmp_path):
    class Two:
        world_size, global_rank, device = 2, 0, torch.device("cpu")

    def begun(settings):
        detector = detector_of(load_encoder(MODEL), SMALL, 6)
        job = DetectionJob(eight().split("train"), settings, tmp_path, {}, 0)
        return Training(detector, job, fabric=Two(), reporter=Notes())

    with pytest.raises(UsageError, match="--batch 3 cannot be divided equally among 2 processes: give a multiple of 2"):
        begun(replace(SMALL, batch=3))
    with pytest.raises(UsageError, match="sync over several processes needs GPUs"):
        begun(replace(SMALL, norm="sync"))


def out_of_memory(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (4, r"--batch 4 at --min-size 64: try --batch 2 --lr 0\.005\."),
        (1, r"--batch 1 at --min-size 64: try smaller --min-size\."),
    ],
)
def test_too_little_memory_is_answered_with_what_takes_less(batch, words, monkeypatch, tmp_path):
    monkeypatch.setattr(Training, "_step", out_of_memory)  # no GPU is needed to say so
    with pytest.raises(ModelError, match=f"The GPU has too little memory for {words}"):
        detected(monkeypatch, tmp_path, eight(), replace(SMALL, batch=batch))


def test_half_a_batch_is_one_that_the_processes_can_share(tmp_path):
    class Asked(Training):
        def __init__(self, batch, processes):
            self.job = DetectionJob(eight().split("train"), replace(SMALL, batch=batch), tmp_path, {}, 0)
            self.fabric = type("Processes", (), {"world_size": processes})

    assert Asked(6, 2)._memory_hint == "--batch 2 --lr 0.00333333"
    assert Asked(4, 4)._memory_hint == "smaller --min-size"


def test_too_little_memory_for_the_search_is_answered_likewise(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "_to_detections", out_of_memory)
    with pytest.raises(ModelError, match="memory for boxes at --test-min-size 64: try a smaller --test-min-size"):
        detected(monkeypatch, tmp_path, eight(), replace(SMALL, score_threshold=0.0))


def trained_training(tmp_path, settings):
    """A training of eight pictures that has ended."""
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    detector = detector_of(load_encoder(MODEL), settings, 6)
    job = DetectionJob(eight().split("train"), settings, tmp_path, {}, 0)
    one = Training(detector, job, fabric=fabric, reporter=Notes())
    one.run()
    return one


def test_statistics_are_the_means_over_the_batches_that_follow_the_training(tmp_path):
    one = trained_training(tmp_path, replace(SMALL, norm="sync", precise_bn=3, iterations=2))
    norm = normalisations(one.detector)[0]
    means, variances = [], []

    def noted(_module, arguments):
        means.append(arguments[0].mean([0, 2, 3]))
        variances.append(arguments[0].var([0, 2, 3]))

    handle = norm.register_forward_pre_hook(noted)
    norm.running_mean.fill_(1000.0)  # what was there before is forgotten
    one.recompute_statistics()
    handle.remove()
    assert len(means) == 3
    assert_close(norm.running_mean, torch.stack(means).mean(0))
    assert_close(norm.running_var, torch.stack(variances).mean(0), rtol=1e-4, atol=1e-6)
    assert norm.momentum == 0.1
    before = norm.running_mean.clone()
    one.recompute_statistics()
    assert torch.equal(norm.running_mean, before), "the same batches, the same statistics"


@pytest.mark.parametrize("changes", [{"precise_bn": 0, "norm": "sync"}, {"precise_bn": 3}])
def test_running_averages_stay_where_nothing_is_recomputed(changes, tmp_path):
    one = trained_training(tmp_path, replace(SMALL, iterations=1, **changes))
    before = {name: value.clone() for name, value in one.detector.state_dict().items()}
    one.recompute_statistics()
    assert_close(one.detector.state_dict(), before, rtol=0, atol=0)


def test_scale_and_shift_of_normalisations_are_not_decayed():
    detector = detector_of(load_encoder(MODEL), replace(SMALL, norm="sync"), 6)
    decayed, undecayed = parameter_groups(detector, 0.1)
    assert (decayed["weight_decay"], undecayed["weight_decay"]) == (0.1, 0.0)
    shapes = {len(parameter.shape) for parameter in undecayed["params"]}
    assert shapes == {1}
    assert len(undecayed["params"]) == 2 * len(normalisations(detector))
    trained = sum(parameter.requires_grad for parameter in detector.parameters())
    assert len(decayed["params"]) + len(undecayed["params"]) == trained
    frozen = detector_of(load_encoder(MODEL), SMALL, 6)
    assert len(parameter_groups(frozen, 0.1)) == 1


def test_the_published_presets_have_the_numbers_of_mocos_configuration_and_detectron2():
    voc, coco = preset_settings("voc0712", {}), preset_settings("coco", {})
    assert (voc.precise_bn, voc.sampling_ratio) == (200, 0)
    assert (coco.precise_bn, coco.sampling_ratio) == (0, 0)
    assert plan_of(voc, 20).sampling_ratio == 0
