"""Detectors around small networks: what they stand on, what is trained, what is refused."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transferkit.core.errors import CheckpointError, ModelError
from transferkit.detection.assembly import DetectorBackbone, DetectorConfig, network_weights, seeded_detector
from transferkit.detection.backbone import IntermediateMaps, require_weights, with_statistics

STAGES = ("layer1", "layer2", "layer3", "layer4")
SMALL = DetectorConfig(
    "fpn", classes=3, anchor_size=16, fpn_channels=16, head_width=32, rpn_proposals=20, roi_samples=16
)


class Residual(nn.Module):
    """The shape of a ResNet, with a convolution a stage."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1, self.relu, self.maxpool = nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
        for number, name in enumerate(STAGES):
            stage = [nn.Conv2d(8, 8, 3, 2 if number else 1, 1), nn.BatchNorm2d(8), nn.ReLU()]
            setattr(self, name, nn.Sequential(*stage))
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in STAGES:
            x = getattr(self, name)(x)
        return self.fc(x.mean([2, 3]))


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Residual()
        for norm in [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]:
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    return module.eval()


def backbone(network, *, frozen=frozenset(), layers=STAGES):
    beyond = frozenset({"fc.weight", "fc.bias"})
    return DetectorBackbone(network, layers, (8, 8, 8, 8), beyond, frozenset(frozen), "net", (0.5,) * 3, (0.25,) * 3)


def images(count=2, side=64):
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.random((3, side, side), np.float32)) for _ in range(count)]


def target(*boxes):
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.ones(len(boxes), dtype=torch.int64),
    }


def losses(detector, targets, count=2):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return detector.train()(images(count), targets)


@pytest.mark.parametrize("kind", ["fpn", "c4"])
def test_every_weight_of_the_network_is_in_the_detector(kind, network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    detector = seeded_detector(backbone(network), DetectorConfig(**{**vars(SMALL), "kind": kind}), seed=0)
    held = network_weights(detector.state_dict())
    wanted = {name: value for name, value in before.items() if not name.startswith("fc.")}
    assert_close({name: held[name] for name in wanted}, wanted, rtol=0, atol=0)
    found = detector.eval()(images())
    assert [set(one) for one in found] == [{"boxes", "labels", "scores"}] * 2


def test_the_maps_are_those_of_the_network(network):
    seen = {}
    whole = copy.deepcopy(network)
    for name in STAGES:
        whole.get_submodule(name).register_forward_hook(lambda _m, _a, out, name=name: seen.update({name: out}))
    x = torch.stack(images())
    whole(x)
    maps = IntermediateMaps(network, STAGES)(x)
    assert list(maps) == ["0", "1", "2", "3"]
    for name, value in zip(STAGES, maps.values(), strict=True):
        assert torch.equal(value, seen[name])


def test_a_copy_returns_the_maps_of_its_own_weights(network):
    x, maps = torch.stack(images()), IntermediateMaps(network, STAGES)
    before = maps(x)
    assert not any(part._forward_hooks for part in network.modules())
    changed = copy.deepcopy(maps)
    nn.init.zeros_(changed.network.layer4[1].weight)
    nn.init.zeros_(changed.network.layer4[1].bias)
    assert changed(x)["3"].abs().max() == 0
    assert_close(maps(x), before, rtol=0, atol=0)


def test_a_stage_that_does_not_run_is_named(network):
    network.spare = nn.Identity()
    with pytest.raises(ModelError, match="Layer 'spare' did not run"):
        IntermediateMaps(network, ["layer1", "spare"])(torch.stack(images()))


def test_modules_after_the_last_map_do_not_run(network):
    network.fc.register_forward_hook(lambda *_: pytest.fail("the classifier ran"))
    IntermediateMaps(network, STAGES)(torch.stack(images()))


@pytest.mark.parametrize("kind", ["fpn", "c4"])
def test_frozen_statistics_stay_and_every_trained_weight_gets_a_gradient(kind, network):
    frozen = {"conv1.weight", "layer1.0.weight", "layer1.0.bias"}
    plan = DetectorConfig(**{**vars(SMALL), "kind": kind})
    detector = seeded_detector(backbone(network, frozen=frozen), plan, seed=0)
    before = {name: value.clone() for name, value in detector.state_dict().items() if "running" in name}
    sum(losses(detector, [target((4, 4, 40, 40)), target((10, 10, 30, 50))]).values()).backward()
    assert_close({name: detector.state_dict()[name] for name in before}, before, rtol=0, atol=0)
    names = {name for name, one in detector.named_parameters() if one.requires_grad}
    assert {name for name, one in detector.named_parameters() if one.grad is not None} == names
    own = set(network_weights(dict.fromkeys(names, 0)))
    assert own == {f"layer{n}.0.{part}" for n in (2, 3, 4) for part in ("weight", "bias")}


def test_synchronised_statistics_are_updated_in_a_single_process(network):
    plan = DetectorConfig(**{**vars(SMALL), "kind": "c4", "norm": "sync"})
    detector = seeded_detector(backbone(network), plan, seed=0)
    before = network_weights(detector.state_dict())["layer1.1.running_mean"].clone()
    losses(detector, [target((4, 4, 40, 40))] * 2)
    after = network_weights(detector.state_dict())["layer1.1.running_mean"]
    assert not torch.equal(before, after)
    assert isinstance(detector.roi_heads.box_head.norm, nn.BatchNorm2d)  # as in MoCo's


def test_an_image_without_objects_has_finite_losses(network):
    detector = seeded_detector(backbone(network), SMALL, seed=0)
    found = losses(detector, [target(), target((4, 4, 40, 40))])
    assert all(torch.isfinite(value) for value in found.values())
    alone = losses(detector, [target(), target()])
    assert alone["loss_box_reg"] == 0
    assert alone["loss_classifier"] > 0


def test_new_weights_depend_on_the_seed_alone(network):
    def drawn(seed, before):
        torch.manual_seed(before)
        detector = seeded_detector(backbone(copy.deepcopy(network)), SMALL, seed=seed)
        return detector.roi_heads.box_head.fc6.weight

    with torch.random.fork_rng():
        assert torch.equal(drawn(1, 0), drawn(1, 5))
        assert not torch.equal(drawn(1, 0), drawn(2, 0))


def test_images_are_normalised_and_keep_their_size(network):
    detector = seeded_detector(backbone(network), SMALL, seed=0)
    batch, _ = detector.transform([torch.full((3, 40, 50), 0.75), torch.full((3, 64, 33), 0.25)])
    assert batch.image_sizes == [(40, 50), (64, 33)]
    assert batch.tensors.shape == (2, 3, 64, 64)
    assert batch.tensors[0, 0, 0, 0] == 1
    assert batch.tensors[1, 0, 0, 0] == -1
    assert batch.tensors[0, :, 40:].abs().sum() == 0


@pytest.mark.parametrize("kind", ["fpn", "c4"])
def test_coordinates_are_float32_under_autocast(kind, network):
    """In bf16, anchors and boxes near the coordinate 1000 would be wrong by up to four pixels."""
    detector = seeded_detector(backbone(network), DetectorConfig(**{**vars(SMALL), "kind": kind}), seed=0).eval()
    seen = []
    detector.rpn.anchor_generator.register_forward_hook(lambda _m, _a, out: seen.append(out[0].dtype))
    detector.rpn.head.register_forward_hook(lambda _m, _a, out: seen.append(out[1][0].dtype))
    detector.roi_heads.box_predictor.register_forward_hook(lambda _m, _a, out: seen.append(out[1].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        detector(images(1))
    assert set(seen) == {torch.float32}
    assert len(seen) == 3


def test_c4_needs_a_residual_network():
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten())
    with pytest.raises(ModelError, match=r"net is no ResNet, and --detector c4 .*: use --detector fpn"):
        seeded_detector(backbone(plain, layers=("0",)), DetectorConfig(**{**vars(SMALL), "kind": "c4"}), seed=0)


def test_a_weight_that_would_be_lost_is_named(network):
    source = dict(network.state_dict())
    held = {name: value for name, value in source.items() if name != "layer2.0.weight"}
    beyond = frozenset({"fc.weight", "fc.bias"})
    with pytest.raises(CheckpointError, match=r"lacks 1 of 29 weights of net: layer2.0.weight\."):
        require_weights(source, held, beyond=beyond, spec="net")
    changed = {**source, "bn1.running_mean": source["bn1.running_mean"] + 1}
    with pytest.raises(CheckpointError, match=r"changes 1 of 29 weights of net: bn1.running_mean"):
        require_weights(source, changed, beyond=beyond, spec="net")
    with pytest.raises(CheckpointError, match=r"lacks 29 of 29 .* and 25 more"):
        require_weights(source, {}, beyond=beyond, spec="net")
    require_weights(source, {**held, "layer2.0.weight": source["layer2.0.weight"]}, beyond=beyond, spec="net")


def test_freezing_takes_scale_and_shift_out_of_training(network):
    with_statistics(network, "frozen")
    assert not network.bn1.weight.requires_grad
    assert network.conv1.weight.requires_grad
