"""Detection end to end, with a small real network on a few drawn pictures."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.protocols.detecting.scenes import (
    ALONE,
    MODEL,
    SMALL,
    dataset,
    detected,
    eight,
    split,
    without_objects,
)
from tests.protocols.pretraining.runs import Notes
from transferkit.core.errors import DataError, ModelError, UnknownNameError, UsageError
from transferkit.core.results import ResultStore
from transferkit.core.workspace import Workspace
from transferkit.data.detection.boxed import Fault
from transferkit.detection.detections import read_found
from transferkit.models.catalog import load_encoder
from transferkit.protocols.context import RunContext
from transferkit.protocols.detecting import detect as module
from transferkit.protocols.detecting.backbone import detector_of, ground_of
from transferkit.protocols.detecting.detect import DetectionRunOptions, detect, rule_of
from transferkit.protocols.detecting.settings import DetectSettings
from transferkit.training.settings import TrainerConfig


def kept(workspace: Path, file: str = "detector.safetensors") -> dict[str, torch.Tensor]:
    (path,) = (workspace / "finetuned").glob(f"*/{file}")
    return load_file(path)


@pytest.mark.slow
def test_it_learns_eight_pictures_by_heart(monkeypatch, tmp_path):
    data = dataset(split("train", range(8)), split("train", range(8), shown_as="test"))
    settings = replace(
        SMALL,
        iterations=80,
        batch=8,
        lr=0.03,
        milestones=(60,),
        warmup_iterations=20,
        min_size=(96,),
        test_min_size=96,
        anchor_size=10,
        fpn_channels=32,
        head_width=128,
        roi_samples=32,
        flip_prob=0.0,
    )
    (one,) = detected(monkeypatch, tmp_path, data, settings, model="imagenet-lite0").detections
    assert one.result.value > 0.9
    assert one.result.extra_metrics["curve"][-1]["classifier"] < one.result.extra_metrics["curve"][0]["classifier"] / 2


def test_it_is_trained_where_products_are_rounded(monkeypatch, tmp_path):
    (one,) = detected(monkeypatch, tmp_path, eight(), replace(SMALL, precision="bf16")).detections
    (exact,) = detected(monkeypatch, tmp_path / "exact", eight()).detections
    for rounded, line in zip(one.result.extra_metrics["curve"], exact.result.extra_metrics["curve"], strict=True):
        assert rounded["classifier"] == pytest.approx(line["classifier"], rel=0.05)
        assert rounded["classifier"] != line["classifier"]


def test_a_record_says_what_was_done(monkeypatch, tmp_path):
    data = eight()
    (one,) = detected(monkeypatch, tmp_path, data).detections
    record = one.result
    assert (record.protocol, record.layer, record.metric, record.selected_on, record.evaluated_on) == (
        *("detection", "all", "ap50"),
        *("none", "test"),
    )
    assert (record.n, record.skipped_rows, record.extra_metrics["steps"], record.extra_metrics["trained_rows"]) == (
        3,
        0,
        4,
        8,
    )
    assert [line["epoch"] for line in record.extra_metrics["curve"]] == [1, 2, 3, 4]
    assert {"classifier", "box_reg", "objectness", "rpn_box_reg", "gradient_norm"} <= record.extra_metrics["curve"][
        0
    ].keys()
    assert {"voc", "coco", "per_class"} <= record.extra_metrics.keys()
    assert record.extra_metrics["per_class"].keys() == set(data.classes)
    json.dumps(record.to_json(), allow_nan=False)
    assert len(read_found(one.file)) == 3
    assert not list((tmp_path / "finetuned").glob("*/training.safetensors"))
    assert [r.cell for r in ResultStore(tmp_path / "results")] == [record.cell]


def test_what_is_finished_is_not_trained_again(monkeypatch, tmp_path):
    (one,) = detected(monkeypatch, tmp_path, eight()).detections
    monkeypatch.setattr(module.Training, "run", lambda self: pytest.fail("trained again"))
    (again,) = detected(monkeypatch, tmp_path, eight()).detections
    assert again.result.value == one.result.value
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        detected(monkeypatch, tmp_path, eight(), run_options=DetectionRunOptions(force=True, yes=True))


def test_weights_that_were_not_kept_are_not_promised(monkeypatch, tmp_path):
    notes = Notes()
    detected(monkeypatch, tmp_path, eight(), run_options=DetectionRunOptions(yes=True))
    detected(monkeypatch, tmp_path, eight(), run_options=DetectionRunOptions(yes=True), reporter=notes)
    assert not [note for note in notes.notes if "kept" in note]
    detected(monkeypatch, tmp_path, eight(), reporter=notes)
    assert notes.notes[-1] == (
        f"The weights of {MODEL} on mini/scenes were not kept. Use --force --keep to train and keep them."
    )


class Stop(Exception):
    pass


class Stopping(Notes):
    """Stops the training after four steps of two images."""

    def advance(self, count: int = 1) -> None:
        super().advance(count)
        if self.advanced >= 4 * 2:
            raise Stop


@pytest.mark.parametrize("changes", [{}, {"detector": "c4", "norm": "sync"}])
def test_an_interrupted_training_ends_with_the_same_bits(changes, monkeypatch, tmp_path):
    settings = replace(SMALL, iterations=6, batch=2, min_size=(64, 80), milestones=(5,), **changes)
    detected(monkeypatch, tmp_path / "whole", eight(), settings)
    monkeypatch.setattr("transferkit.protocols.detecting.training._LINES", 3)
    with pytest.raises(Stop):
        detected(monkeypatch, tmp_path / "cut", eight(), settings, reporter=Stopping())
    assert list((tmp_path / "cut" / "finetuned").glob("*/training.safetensors"))
    resumed = Notes()
    detected(monkeypatch, tmp_path / "cut", eight(), settings, reporter=resumed)
    assert 0 < resumed.advanced - 3 < 6 * 2
    whole, cut = kept(tmp_path / "whole"), kept(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(tensor, cut[name]) for name, tensor in whole.items())


def test_kept_weights_are_a_model(monkeypatch, tmp_path):
    notes = Notes()
    detected(monkeypatch, tmp_path, eight(), reporter=notes)
    (said,) = [note for note in notes.notes if "fine-tuned weights are stored as the model" in note]
    encoder = load_encoder(said.rpartition(" ")[2])
    before = load_encoder(MODEL).module.state_dict()
    now = encoder.module.state_dict()
    moved = {name for name, tensor in now.items() if not torch.equal(tensor, before[name])}
    assert "layer4.0.conv1.weight" in moved
    assert not [name for name in moved if "running" in name or name.startswith("fc")]


def test_pictures_that_cannot_be_read_are_counted_and_replaced(monkeypatch, tmp_path):
    data = dataset(split("train", range(8), broken=[1]), split("train", range(3), shown_as="test", broken=[0]))
    (one,) = detected(monkeypatch, tmp_path, data).detections
    assert (one.result.n, one.result.skipped_rows) == (2, 1)
    assert one.result.extra_metrics["unreadable_in_training"] == 2  # once an epoch
    everything = dataset(split("train", range(8), broken=range(8)), data.split("test"))
    with pytest.raises(DataError, match=r"20 consecutive images cannot be read, such as .* \(it is broken\)"):
        detected(monkeypatch, tmp_path / "b", everything)


def test_annotations_that_were_left_out_are_counted(monkeypatch, tmp_path):
    data = eight()
    faults = (Fault("a", "no area"), Fault("b", "no area"), Fault("c", "unknown category"))
    train = replace(data.split("train"), faults=faults)
    (one,) = detected(monkeypatch, tmp_path, dataset(train, data.split("test"))).detections
    assert one.result.extra_metrics["left_out"] == {"train": {"no area": 2, "unknown category": 1}}


def test_a_loss_that_is_not_finite_names_the_step(monkeypatch, tmp_path):
    settings = replace(SMALL, lr=1e18, warmup_iterations=0, clip=0.0)
    with pytest.raises(ModelError, match=r"at step \d\. The detector diverged at --lr 1e\+18: lower it"):
        detected(monkeypatch, tmp_path, eight(), settings)


def test_what_cannot_be_is_refused(monkeypatch, tmp_path):
    context = RunContext(Workspace(tmp_path, tmp_path / "data"))

    def asked(model=MODEL, data="mini/scenes", settings=SMALL):
        detect([model], [data], settings, context=context, trainer_config=ALONE)

    with pytest.raises(UsageError, match=r"mini/digits has no boxes, .* Choose from: .*mini/scenes"):
        asked(data="mini/digits")
    with pytest.raises(UsageError, match="folder:x has no boxes"):
        asked(data="folder:x")
    with pytest.raises(UnknownNameError, match="Did you mean 'mini/scenes'"):
        asked(data="mini/scene")
    with pytest.raises(ModelError, match="imagenet-lite0 is no ResNet, and --detector c4"):
        asked(model="imagenet-lite0", settings=replace(SMALL, detector="c4"))
    with pytest.raises(
        ModelError,
        match=r"random:vit_tiny_patch16_224 cannot be the backbone of a detector: .* \(it has none\)",
    ):
        asked(model="random:vit_tiny_patch16_224")
    data = eight()
    nothing = dataset(without_objects(data.split("train")), data.split("test"))
    with pytest.raises(DataError, match="mini/scenes has no box to train on"):
        detected(monkeypatch, tmp_path, nothing)
    with pytest.raises(DataError, match=r"8 images cannot fill --batch 9"):
        detected(monkeypatch, tmp_path, data, replace(SMALL, batch=9))


@pytest.mark.parametrize(
    "spec", ["random:resnet18", "random:timm:resnet10t", "imagenet-lite0", "random:timm:convnext_atto"]
)
def test_any_network_with_four_maps_carries_a_pyramid(spec):
    encoder = load_encoder(spec)
    detector = detector_of(encoder, SMALL, 3).eval()
    (found,) = detector([torch.zeros(3, 70, 90)])
    assert found["boxes"].shape[1] == 4
    beyond = ground_of(load_encoder(spec), SMALL).beyond
    assert {name.partition(".")[0] for name in beyond} <= {
        "fc",
        "classifier",
        "norm",
        "head",
        "conv_head",
        "bn2",
    }


def test_stages_that_are_not_trained_get_no_gradient():
    def trained(stages):
        detector = detector_of(load_encoder("random:resnet18"), replace(SMALL, trained_stages=stages), 3)
        parameters = detector.backbone.body.network.named_parameters()
        return {name.split(".")[0] for name, one in parameters if one.requires_grad}

    assert trained(0) == set()
    assert trained(1) == {"layer4"}
    assert trained(3) == {"layer2", "layer3", "layer4"}
    assert trained(4) == {"conv1", "layer1", "layer2", "layer3", "layer4"}


def test_the_rule_is_that_of_publications():
    assert [rule_of(spec) for spec in ("coco", "coco:folder", "voc0712", "mini/scenes")] == [
        *("coco", "coco", "voc", "voc")
    ]


SCRIPT = """
import sys
import torch
from pathlib import Path
from dataclasses import replace
from tests.protocols.detecting.scenes import SMALL, detected, eight
from transferkit.training.devices import launched_fabric
from transferkit.training.settings import TrainerConfig
from transferkit.protocols.detecting.backbone import detector_of
from transferkit.protocols.detecting.training import DetectionJob, Training
from transferkit.models.catalog import load_encoder
from transferkit.core.progress import SILENT
from safetensors.torch import save_file

torch.set_num_threads(1)
folder = Path(sys.argv[1])
fabric = launched_fabric(TrainerConfig(device="cpu", devices=2), precision="fp32", folder=folder)
data = eight()
detector = detector_of(load_encoder("random:test_resnet"), SMALL, 6)
course = DetectionJob(data.split("train"), SMALL, folder / "course", {}, 0)
training = Training(detector, course, fabric=fabric, reporter=SILENT)
training.run()
found, reasons = training.detect(data.split("test"))
assert len(found) == 3 and not reasons
weights = {k: v.contiguous() for k, v in detector.state_dict().items()}
weights["found"] = torch.tensor([len(one) for one in found])
save_file(weights, folder / f"rank{fabric.global_rank}.safetensors")
"""


def test_two_processes_end_with_the_same_weights(tmp_path):
    torchrun = Path(sys.executable).with_name("torchrun")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [torchrun, "--standalone", "--nproc-per-node=2", script, tmp_path]
    root = Path(__file__).parents[3]
    import os

    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert ended.returncode == 0, ended.stderr
    one, other = (load_file(tmp_path / f"rank{rank}.safetensors") for rank in range(2))
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    first = detector_of(load_encoder(MODEL), SMALL, 6).state_dict()
    assert not torch.equal(first["rpn.head.cls_logits.weight"], one["rpn.head.cls_logits.weight"])


def test_boxes_come_back_in_pixels_of_the_stored_image(monkeypatch, tmp_path):
    """Images are resized to half their size, and detected boxes refer to the stored size."""
    (one,) = detected(monkeypatch, tmp_path, eight(), replace(SMALL, score_threshold=0.0)).detections
    boxes = np.concatenate([found.boxes for found in read_found(one.file)])
    assert len(boxes)
    assert boxes.min() >= 0
    assert 64 < boxes.max() <= 128


def test_an_absent_gpu_is_said():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UsageError, match="--device cuda is not available"):
        detect(
            [MODEL],
            ["mini/scenes"],
            DetectSettings(),
            context=RunContext(Workspace(Path("x"), Path("y"))),
            trainer_config=TrainerConfig(device="cuda"),
        )
