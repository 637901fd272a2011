"""Checkpoints as training programs really write them, each around the weights of a small network."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from transferkit.core.errors import CheckpointError, UnknownNameError, UsageError
from transferkit.models.architectures import find_architecture
from transferkit.models.catalog import load_encoder
from transferkit.models.checkpoints import file_encoder
from transferkit.models.layers import resolve_layers
from transferkit.models.pooled_outputs import pooled_outputs
from transferkit.models.weight_files import read_checkpoint

State = dict[str, Tensor]


def weights(arch: str = "resnet18", seed: int = 1) -> State:
    """Return weights and batch statistics that depend on the seed."""
    module = find_architecture(arch).build(seed=seed)
    source = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            value.copy_(torch.rand(value.shape, generator=source))
    return dict(module.state_dict())


WANTED, OTHER = weights(seed=1), weights(seed=2)
BODY = {name: value for name, value in WANTED.items() if not name.startswith("fc.")}
OTHER_BODY = {name: value for name, value in OTHER.items() if not name.startswith("fc.")}


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def mlp(prefix: str, width: int = 128) -> State:
    return {
        f"{prefix}0.weight": torch.ones(512, 512),
        f"{prefix}0.bias": torch.ones(512),
        f"{prefix}2.weight": torch.ones(width, 512),
        f"{prefix}2.bias": torch.ones(width),
    }


def batch_norm(prefix: str) -> State:
    return {f"{prefix}{name}": torch.ones(4) for name in ("weight", "bias", "running_mean", "running_var")}


def moco(head: Any) -> dict[str, Any]:
    state = under("module.encoder_q.", BODY) | head("module.encoder_q.fc.")
    state |= under("module.encoder_k.", OTHER_BODY) | head("module.encoder_k.fc.")
    state |= {"module.queue": torch.ones(128, 64), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": optimizer()}


def optimizer() -> dict[str, Any]:
    """Return a ``state_dict`` like that of an optimizer: momentum buffers under numbers."""
    return {
        "state": {0: {"momentum_buffer": torch.ones(64, 3, 7, 7)}},
        "param_groups": [{"lr": 0.1, "params": [0]}],
    }


def linear(prefix: str) -> State:
    return {f"{prefix}weight": torch.ones(128, 512), f"{prefix}bias": torch.ones(128)}


def moco_v3() -> dict[str, Any]:
    state = under("module.base_encoder.", BODY) | mlp("module.base_encoder.fc.") | mlp("module.predictor.")
    state |= under("module.momentum_encoder.", OTHER_BODY) | mlp("module.momentum_encoder.fc.")
    return {"epoch": 300, "state_dict": state, "scaler": {"scale": 1.0}}


def dino() -> dict[str, Any]:
    return {
        "student": under("module.backbone.", OTHER_BODY) | mlp("module.head.mlp."),
        "teacher": under("backbone.", BODY) | mlp("head.mlp."),
        "optimizer": optimizer(),
        "epoch": 100,
        "args": argparse.Namespace(arch="resnet18", output_dir=Path("out")),
        "dino_loss": {"center": torch.ones(1, 64)},
    }


def by_position(state: State) -> State:
    """``nn.Sequential(*list(resnet.children())[:-1])``."""
    modules = list(find_architecture("resnet18").build().named_children())
    number = {name: str(i) for i, (name, _) in enumerate(modules)}
    return {f"{number[n.partition('.')[0]]}.{n.partition('.')[2]}": value for n, value in state.items()}


def lightning() -> dict[str, Any]:
    return {
        "epoch": 9,
        "global_step": 100,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": under("model.", WANTED) | {"loss.weight": torch.ones(3)},
        "hyper_parameters": argparse.Namespace(lr=0.1),
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [optimizer()],
    }


LAYOUTS: dict[str, Any] = {
    "torchvision": WANTED,
    "torchvision without a classifier (Barlow Twins)": BODY,
    "an older torchvision without batch counts": {
        name: value for name, value in WANTED.items() if not name.endswith("num_batches_tracked")
    },
    "DDP": {"model": under("module.", WANTED)},
    "torch.compile": under("_orig_mod.", WANTED),
    "MoCo v1": moco(linear),
    "MoCo v2": moco(mlp),
    "MoCo v3": moco_v3(),
    "SimSiam": {"state_dict": under("module.encoder.", BODY) | mlp("module.encoder.fc.") | mlp("module.predictor.")},
    "SimCLR": {"state_dict": under("backbone.", BODY) | mlp("backbone.fc."), "epoch": 1},
    "SwAV": under("module.", BODY) | mlp("module.projection_head.") | {"module.prototypes.weight": torch.ones(30, 128)},
    "DINO": dino(),
    "BYOL": {
        "online_network_state_dict": under("encoder.", BODY) | mlp("projetion."),
        "target_network_state_dict": under("encoder.", OTHER_BODY),
    },
    "BYOL, target first": {
        "state_dict": under("target_network.encoder.", OTHER_BODY) | under("online_network.encoder.", BODY)
    },
    "SupContrast": {
        "opt": argparse.Namespace(model="resnet18"),
        "model": {k.replace("downsample", "shortcut"): v for k, v in under("module.encoder.", BODY).items()}
        | mlp("module.head."),
        "optimizer": optimizer(),
        "epoch": 1000,
    },
    "solo-learn": {
        "state_dict": under("momentum_backbone.", OTHER_BODY)
        | under("backbone.", BODY)
        | linear("classifier.")
        | mlp("projector.")
    },
    "lightly": {
        "state_dict": under("backbone_momentum.", by_position(OTHER_BODY)) | under("backbone.", by_position(BODY))
    },
    "Lightning": lightning(),
    "Lightning, net": {"state_dict": under("net.", WANTED)},
    "model_state_dict": {"model_state_dict": WANTED, "params": {"lr": 0.1}},
    "params": {"params": OTHER, "params_ema": WANTED},
    "timm's trainer": {"state_dict_ema": WANTED, "state_dict": OTHER, "arch": "resnet18"},
    "VISSL": {
        "classy_state_dict": {
            "base_model": {"model": {"trunk": under("_feature_blocks.", BODY), "heads": mlp("0.clf.")}}
        }
    },
    "mmselfsup": {"meta": {"epoch": 1}, "state_dict": under("backbone.", BODY) | batch_norm("neck.bn0.")},
    "half precision": {name: value.half() if value.is_floating_point() else value for name, value in BODY.items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_back_every_weight(layout, tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save(LAYOUTS[layout], path)
    encoder = file_encoder(f"{path}#resnet18")
    loaded = encoder.module.state_dict()
    for name, value in BODY.items():
        if not name.endswith("num_batches_tracked"):
            expected = value.half().float() if layout == "half precision" else value
            assert torch.equal(loaded[name], expected), name
    assert encoder.spec == f"file:{path}#resnet18"
    assert encoder.architecture == "torchvision:resnet18"


def test_a_vision_transformer_of_dino(tmp_path):
    state = {n: v for n, v in weights("vit_tiny_patch16_224").items() if not n.startswith("head.")}
    torch.save({"teacher": under("backbone.", state) | mlp("head.mlp.")}, tmp_path / "vit.pth")
    encoder = file_encoder(f"{tmp_path / 'vit.pth'}#vit_tiny_patch16_224")
    assert all(torch.equal(value, state[name]) for name, value in encoder.module.state_dict().items())
    assert encoder.pooling == "cls"


def test_a_masked_autoencoder_s_decoder_is_left_aside(tmp_path):
    state = {n: v for n, v in weights("vit_tiny_patch16_224").items() if not n.startswith("head.")}
    state |= {
        "mask_token": torch.ones(1, 1, 8),
        "decoder_pos_embed": torch.ones(1),
        "decoder_blocks.0.w": torch.ones(1),
    }
    torch.save({"model": state}, tmp_path / "mae.pth")
    file_encoder(f"{tmp_path / 'mae.pth'}#vit_tiny_patch16_224")


def test_safetensors(tmp_path):
    save_file(under("backbone.", BODY), tmp_path / "w.safetensors")
    found = file_encoder(f"{tmp_path / 'w.safetensors'}#resnet18").module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in BODY.items())


def test_a_classifier_that_fits_is_kept_and_another_makes_way(tmp_path):
    path = tmp_path / "w.pt"
    torch.save(WANTED, path)
    kept = file_encoder(f"{path}#resnet18")
    assert torch.equal(kept.module.fc.weight, WANTED["fc.weight"])
    torch.save(BODY | {"fc.weight": torch.ones(37, 512), "fc.bias": torch.ones(37)}, path)
    dropped = file_encoder(f"{path}#resnet18")
    assert isinstance(dropped.module.fc, nn.Identity)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = []
    for encoder in (kept, dropped):
        assert [layer.name for layer in resolve_layers(encoder, ["last"], "avg")] == ["last"]
        with pooled_outputs(encoder, ["last"]) as outputs:
            features.append(outputs(x)["last"])
    assert torch.equal(*features)


def test_the_path_becomes_absolute_and_may_hold_a_hash(tmp_path, monkeypatch):
    (tmp_path / "a#b").mkdir()
    torch.save(BODY, tmp_path / "a#b" / "w.pt")
    monkeypatch.chdir(tmp_path)
    encoder = load_encoder("file:a#b/w.pt#torchvision:resnet18")
    assert encoder.spec == f"file:{tmp_path}/a#b/w.pt#resnet18"


def complaint(tmp_path: Path, held: Any, arch: str = "resnet18") -> str:
    path = tmp_path / "held.pt"
    torch.save(held, path)
    with pytest.raises(CheckpointError) as error:
        file_encoder(f"{path}#{arch}")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_weight_stops(tmp_path):
    text = complaint(tmp_path, {n: v for n, v in BODY.items() if n != "layer4.1.bn2.running_var"})
    assert "does not hold the weights of torchvision:resnet18 (compared with its top level)" in text
    assert "Missing: layer4.1.bn2.running_var. Name the architecture" in text
    assert "Unexpected" not in text


def test_a_weight_of_another_shape_stops(tmp_path):
    text = complaint(tmp_path, BODY | {"conv1.weight": torch.ones(64, 3, 3, 3)})
    assert "Of another shape: conv1.weight [64, 3, 3, 3], not [64, 3, 7, 7]." in text
    assert "Missing" not in text


def test_a_weight_too_many_within_the_backbone_stops(tmp_path):
    held = {"state_dict": under("module.encoder_q.", BODY | {"layer4.2.conv1.weight": torch.ones(1)})}
    text = complaint(tmp_path, held)
    assert "Unexpected: module.encoder_q.layer4.2.conv1.weight." in text
    assert "compared with state_dict.module.encoder_q)" in text


@pytest.mark.parametrize("arch", ["resnet34", "resnet50", "timm:resnet26"])
def test_another_architecture_stops_with_the_first_names_and_the_count(arch, tmp_path):
    text = complaint(tmp_path, moco(mlp), arch)
    assert "Missing: layer" in text or "Of another shape: module.encoder_q.layer" in text
    assert "in all)" in text
    assert len(text) < 2500


def test_a_network_with_nothing_in_common_stops(tmp_path):
    text = complaint(tmp_path, {"tower.kernel": torch.ones(3), "tower.offset": torch.ones(3)})
    assert "holds no weight of torchvision:resnet18. It has tower.kernel, tower.offset." in text


def test_a_checkpoint_without_tensors_stops(tmp_path):
    assert "It holds no tensors, only epoch, lr." in complaint(tmp_path, {"epoch": 3, "lr": 0.1})
    assert "It holds no tensors, only nothing." in complaint(tmp_path, {})


def test_a_list_is_no_checkpoint(tmp_path):
    assert "holds a list, not a dictionary of weights" in complaint(tmp_path, [torch.ones(1)])


class Malicious:
    """Reading it back would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_does_not_run(zipped, tmp_path):
    trap = tmp_path / "ran"
    path = tmp_path / "evil.pt"
    torch.save({"state_dict": BODY, "x": Malicious(trap)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"Python objects \(\S+\) whose code would run .* safetensors"):
        file_encoder(f"{path}#resnet18")
    assert not trap.exists()


def test_a_whole_pickled_network_is_not_read(tmp_path):
    assert "torchvision.models.resnet.ResNet" in complaint(tmp_path, find_architecture("resnet18").build())


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_what_is_no_checkpoint(name, damage, tmp_path):
    path = tmp_path / name
    save_file({"a": torch.ones(1000)}, path) if name.endswith("s") else torch.save({"a": torch.ones(1000)}, path)
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"hello, world", "empty": b""}[damage])
    with pytest.raises(CheckpointError, match=r"w\.\w+ is no .*damaged one \(.*\)\. Fetch it again\.$") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no file .*absent\.pt\.$"):
        file_encoder(f"{tmp_path}/absent.pt#resnet18")
    with pytest.raises(CheckpointError, match=r"is a folder, not a checkpoint\. Name the file of weights in it\.$"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("rest", ["w.pt", "w.pt#", "#resnet18", ""])
def test_a_spec_without_a_network(rest):
    with pytest.raises(UsageError, match="does not say which network: write file:PATH#ARCH"):
        file_encoder(rest)


def test_an_unknown_network():
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet"):
        file_encoder("w.pt#resnet19")
