"""Checkpoints under the names that their authors published, as timm and torchvision themselves read them.

Each is made from a small random network by turning its names back into the published ones.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.testing import assert_close

from transferkit.core.errors import CheckpointError
from transferkit.models.architectures import find_architecture
from transferkit.models.backbone import backbone_of
from transferkit.models.checkpoints import file_encoder
from transferkit.models.encoder import encoder_of
from transferkit.models.layouts import TargetNetwork, fits
from transferkit.models.weight_files import read_checkpoint

State = dict[str, Tensor]

VIT = "depth=2&embed_dim=32&num_heads=2"
CONVNEXT = "timm:convnext_tiny?depths=(1,1,2,1)&dims=(8,16,24,32)"
SWIN = "swin_tiny_patch4_window7_224?depths=(1,2,1,1)&embed_dim=12&num_heads=(1,2,3,4)"
DINOV2 = f"vit_small_patch14_dinov2.lvd142m?{VIT}&img_size=56"
DINOV2_REG = f"vit_small_patch14_reg4_dinov2?{VIT}&img_size=56"
CLIP = f"vit_base_patch32_clip_224.openai?{VIT}&num_classes=16"
DINOV3 = f"vit_small_patch16_dinov3?{VIT}&img_size=64"


def network(arch: str, classes: int | None = None) -> nn.Module:
    """A network in which no two values are the same."""
    module = find_architecture(arch).build(classes=classes)
    source = torch.Generator().manual_seed(1)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            drawn = torch.randn(value.shape, generator=source) / 10
            value.copy_(drawn.abs() + 1 if name.endswith("running_var") else drawn)
    return module.eval()


def renamed(state: State, *pairs: tuple[str, str]) -> State:
    """Every name with each pattern replaced in turn."""
    found = {}
    for name, value in state.items():
        for pattern, new in pairs:
            name = re.sub(pattern, new, name)
        found[name] = value
    return found


def convnext(module: nn.Module) -> State:
    return renamed(
        module.state_dict(),
        (r"^stages\.(\d)\.downsample", r"downsample_layers.\1"),
        (r"^stem", "downsample_layers.0"),
        (r"^stages\.(\d)\.blocks", r"stages.\1"),
        ("conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"^head\.norm", "norm"),
        (r"^head\.fc", "head"),
    )


def swin(module: nn.Module) -> State:
    """Downsampling ends a stage, and two buffers are saved that no longer are."""
    state = renamed(module.state_dict(), (r"^head\.fc", "head"))
    state = {
        re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", k): v
        for k, v in state.items()
    }
    state |= {"layers.0.blocks.0.attn.relative_position_index": torch.ones(49, 49, dtype=torch.long)}
    return state | {"layers.0.blocks.1.attn_mask": torch.ones(64, 49, 49)}


def old_timm_swin(module: nn.Module) -> State:
    buffers = {name: value for name, value in module.named_buffers() if name.endswith("relative_position_index")}
    assert buffers
    return dict(module.state_dict()) | buffers


def dinov2(module: nn.Module) -> State:
    return dict(module.state_dict()) | {"mask_token": torch.ones(1, 32)}


def dinov2_with_registers(module: nn.Module) -> State:
    state = dinov2(module)
    state["register_tokens"] = state.pop("reg_token")
    own = torch.full((1, 1, 32), 0.3)  # the class token has a position there
    state["cls_token"] = state["cls_token"] - own
    state["pos_embed"] = torch.cat([own, state["pos_embed"]], 1)
    return state


def in_chunks(state: State) -> State:
    return renamed(state, (r"^blocks\.(\d+)", r"blocks.\1.\1"))


def teacher_in_chunks(module: nn.Module) -> dict[str, State]:
    state = {f"backbone.{name}": value for name, value in in_chunks(dinov2(module)).items()}
    return {"teacher": state | {"dino_head.mlp.0.weight": torch.ones(4, 32)}}


def dinov3(module: nn.Module) -> State:
    state = renamed(
        module.state_dict(),
        ("gamma_1", "ls1.gamma"),
        ("gamma_2", "ls2.gamma"),
        ("reg_token", "storage_tokens"),
    )
    state |= {"mask_token": torch.zeros(1, 32), "rope_embed.periods": torch.ones(4)}
    return state | {f"blocks.{i}.attn.qkv.bias": torch.zeros(96) for i in range(2)}


def clip(module: nn.Module) -> State:
    state = renamed(
        module.state_dict(),
        (r"^patch_embed\.proj", "conv1"),
        (r"^pos_embed", "positional_embedding"),
        (r"^cls_token", "class_embedding"),
        (r"^norm_pre", "ln_pre"),
        (r"^norm\.", "ln_post."),
        (r"\.norm([12])", r".ln_\1"),
        (r"^blocks", "transformer.resblocks"),
        (r"qkv\.", "in_proj_"),
        (r"attn\.proj", "attn.out_proj"),
        (r"mlp\.fc1", "mlp.c_fc"),
        (r"mlp\.fc2", "mlp.c_proj"),
    )
    state["class_embedding"] = state["class_embedding"][0, 0]
    state["positional_embedding"] = state["positional_embedding"][0]
    state["proj"] = state.pop("head.weight").T
    del state["head.bias"]
    tower = {f"visual.{name}": value for name, value in state.items()}
    return tower | {"transformer.resblocks.0.ln_1.weight": torch.ones(8), "logit_scale": torch.ones(())}


PUBLISHED: dict[str, tuple[str, Callable[[nn.Module], object]]] = {
    "ConvNeXt": (CONVNEXT, lambda m: {"model": convnext(m)}),
    "Swin": (SWIN, lambda m: {"model": swin(m)}),
    "Swin of an older timm": (SWIN, old_timm_swin),
    "DINOv2": (DINOV2, dinov2),
    "DINOv2 with registers": (DINOV2_REG, dinov2_with_registers),
    "DINOv2's teacher in chunks": (DINOV2, teacher_in_chunks),
    "DINOv2's registers in chunks": (DINOV2_REG, lambda m: in_chunks(dinov2_with_registers(m))),
    "DINOv3": (DINOV3, dinov3),
    "CLIP": (CLIP, clip),
    "open_clip": (CLIP, lambda m: {"state_dict": {f"module.{k}": v for k, v in clip(m).items()}}),
}


def timms_own(arch: str, state: object) -> nn.Module:
    """The network as timm loads it with its own function."""
    architecture = find_architecture(arch)
    classes = {name: value for name, value in architecture.options.items() if name == "num_classes"}
    return timm.create_model(
        architecture.tagged,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": state, **classes},
        **architecture.options,
    ).eval()


def images(size: int) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_names_give_the_network_that_timm_loads(name, tmp_path):
    arch, published = PUBLISHED[name]
    module = network(arch)
    if name.endswith("clip") or name == "CLIP":
        module.head.bias.data.zero_()  # CLIP projects without one
    state = published(module)
    torch.save(state, tmp_path / "w.pth")
    encoder = file_encoder(f"{tmp_path / 'w.pth'}#{arch}")
    x = images(encoder.preprocessing.crop)
    with torch.inference_mode():
        assert_close(encoder.module(x), module(x))
        if name not in ("DINOv2's teacher in chunks", "DINOv2's registers in chunks", "open_clip"):
            flat = state.get("model", state)
            assert_close(encoder.module(x), timms_own(arch, dict(flat))(x))
    assert not encoder.note.startswith("Their position")


def test_a_position_embedding_of_another_grid_is_resampled_as_by_timm_and_said(tmp_path):
    state = dict(network(f"vit_tiny_patch16_224?{VIT}&img_size=96").state_dict())
    torch.save({"model": state}, tmp_path / "w.pth")
    arch = f"vit_tiny_patch16_224?{VIT}&img_size=64"
    encoder = file_encoder(f"{tmp_path / 'w.pth'}#{arch}")
    with torch.inference_mode():
        assert_close(encoder.module(images(64)), timms_own(arch, state)(images(64)))
    assert "Their position embedding was resampled to the size of these images." in encoder.note


def test_no_global_random_state_is_touched_and_nothing_is_printed(tmp_path, capsys):
    torch.save(dinov3(network(DINOV3)), tmp_path / "w.pth")
    before = torch.get_rng_state()
    file_encoder(f"{tmp_path / 'w.pth'}#{DINOV3}")
    assert torch.equal(torch.get_rng_state(), before)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arch", [CONVNEXT, SWIN, DINOV2_REG, CLIP, DINOV3, "levit_128s", "timm:densenet121"])
def test_a_network_s_own_names_are_not_renamed(arch):
    from transferkit.models.renaming import PublishedNames

    architecture, module = find_architecture(arch), network(arch)
    state = module.state_dict()
    names = PublishedNames("timm", architecture.tagged, architecture.options)
    found = names.renamed(state, module)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_patches_of_another_size_are_another_network(tmp_path):
    torch.save(network(f"vit_tiny_patch16_224?{VIT}&patch_size=8").state_dict(), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"Of another shape: .*patch_embed\.proj\.weight \[32, 3, 8, 8\]"):
        file_encoder(f"{tmp_path / 'w.pth'}#vit_tiny_patch16_224?{VIT}")


def test_biases_that_the_network_has_no_place_for_are_not_dropped(tmp_path):
    state = dinov3(network(DINOV3))
    state["blocks.1.attn.qkv.bias"] = torch.cat([torch.zeros(64), torch.ones(32)])
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"Unexpected: blocks\.1\.attn\.qkv\.bias\."):
        file_encoder(f"{tmp_path / 'w.pth'}#{DINOV3}")


def test_a_masked_autoencoder_fine_tuned_with_mean_pooling(tmp_path):
    module = network(f"vit_tiny_patch16_224?{VIT}&img_size=64&global_pool=avg")
    assert "fc_norm.weight" in module.state_dict()
    torch.save({"model": module.state_dict()}, tmp_path / "w.pth")
    encoder = file_encoder(f"{tmp_path / 'w.pth'}#vit_tiny_patch16_224?{VIT}&img_size=64")
    with torch.inference_mode():
        assert_close(encoder.module(images(64)), module(images(64)))
    assert "global_pool=avg" in encoder.architecture


HEADS_WITH_PARTS = [
    "levit_128s",
    "repvit_m0_9",
    "efficientvit_m0",
    "shvit_s1",
    "efficientvim_m1",
    "caformer_s18",
    "volo_d1_224",
    f"deit_tiny_distilled_patch16_224?{VIT}",
    CONVNEXT,
]


@pytest.mark.parametrize("arch", HEADS_WITH_PARTS)
@pytest.mark.parametrize("classes", [0, 10])
def test_heads_of_several_parts_make_way_as_in_timm(arch, classes, tmp_path):
    module = network(arch, classes)
    torch.save({"model": module.state_dict()}, tmp_path / "w.pth")
    encoder = file_encoder(f"{tmp_path / 'w.pth'}#{arch}")
    reference = find_architecture(arch).build(classes=0).eval()
    own = reference.state_dict()
    reference.load_state_dict({name: value for name, value in module.state_dict().items() if name in own})
    x = images(encoder.preprocessing.crop)
    with torch.inference_mode():
        assert_close(encoder.module(x), reference(x))


def test_a_head_is_recognised_under_any_name():
    body = nn.Sequential(nn.Linear(3, 2), nn.Identity())
    held = {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2), "classif.weight": torch.ones(5, 2)}
    (plain,) = fits(held, TargetNetwork(body))
    (told,) = fits(held, TargetNetwork(body, ignored=frozenset({"classif.weight"})))
    assert plain.unexpected == ("classif.weight",)
    assert told.whole


def test_a_pretraining_run_ends_in_the_representation_as_timm_has_it(tmp_path):
    """The representation excludes the normalisation that timm counts as part of the classifier."""
    backbone = backbone_of(encoder_of(network("shvit_s1"), name="shvit_s1"))
    torch.save(backbone.weights(None), tmp_path / "w.pth")
    assert not any(name.startswith("head.") for name in backbone.weights(None))
    encoder = file_encoder(f"{tmp_path / 'w.pth'}#shvit_s1")
    with torch.inference_mode():
        expected = network("shvit_s1").forward_head(backbone.module.forward_features(images(224)), pre_logits=True)
        assert_close(backbone.module(images(224)), expected)
        assert_close(encoder.module(images(224)), expected)


@pytest.mark.parametrize(
    "wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module._orig_mod"]
)
def test_wrappers_within_names_are_left_out(wrapper, tmp_path):
    arch = f"vit_tiny_patch16_224?{VIT}"
    state = network(arch).state_dict()
    within = renamed(state, (r"^blocks\.(\d)\.", rf"blocks.\1.{wrapper.removeprefix('module.')}."))
    if wrapper.startswith("module."):
        within = {f"module.{name}": value for name, value in within.items()}
    torch.save({"model": within}, tmp_path / "w.pth")
    loaded = file_encoder(f"{tmp_path / 'w.pth'}#{arch}").module.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def legacy_densenet(state: State) -> State:
    """Return the state with the published names, from before batches were counted."""
    state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    return renamed(state, (r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2"))


@pytest.mark.parametrize("arch", ["torchvision:densenet121", "timm:densenet121"])
def test_the_published_names_of_densenet(arch, tmp_path):
    state = network(arch).state_dict()
    legacy = legacy_densenet(state)
    assert "features.denseblock1.denselayer1.norm.1.weight" in legacy
    torch.save(legacy, tmp_path / "w.pth")
    loaded = file_encoder(f"{tmp_path / 'w.pth'}#{arch}").module.state_dict()
    counts = "num_batches_tracked"
    assert all(torch.equal(loaded[n], value) for n, value in state.items() if not n.endswith(counts))


def test_the_published_names_of_torchvision_s_transformers():
    from transferkit.models.renaming import PublishedNames

    names = PublishedNames("torchvision", "vit_b_16", {})
    layer = "encoder.layers.encoder_layer_0.mlp."
    found = names.renamed({layer + "linear_1.weight": torch.ones(1), layer + "linear_2.bias": torch.ones(1)}, nn.ReLU())
    assert list(found) == [layer + "0.weight", layer + "3.bias"]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["googlenet", "inception_v3"])
def test_classifiers_that_only_train_the_network_may_be_absent(arch, tmp_path):
    from torchvision import models

    module = models.get_model(arch, weights=None, init_weights=False, aux_logits=False, transform_input=True)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    encoder = file_encoder(f"{tmp_path / 'w.pth'}#{arch}")
    with torch.inference_mode():
        assert_close(encoder.module(images(128)), module.eval()(images(128)))


def test_weights_in_several_files_are_read_by_their_index(tmp_path):
    state = {name: value.contiguous() for name, value in network("resnet18").state_dict().items()}
    names = list(state)
    parts = {"model-1-of-2.safetensors": names[:50], "model-2-of-2.safetensors": names[50:]}
    for file, own in parts.items():
        save_file({name: state[name] for name in own}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {n: f for f, own in parts.items() for n in own}}))
    loaded = file_encoder(f"{index}#resnet18").module.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    index.write_text(json.dumps({"weight_map": {"fc.weight": "../w.safetensors"}}))
    with pytest.raises(CheckpointError, match="which is not beside it, and was not read"):
        read_checkpoint(index)
    index.write_text("{}")
    with pytest.raises(CheckpointError, match="it has no weight_map"):
        read_checkpoint(index)


def test_the_content_of_a_file_says_what_it_is(tmp_path):
    state = {"a": torch.arange(3.0)}
    save_file(state, tmp_path / "w.pth")
    torch.save(state, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        assert torch.equal(read_checkpoint(tmp_path / name)["a"], state["a"])


def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path):
    path, sizes = tmp_path / "w.safetensors", set()
    for letters in range(0, 256, 8):
        save_file({"a": torch.arange(3.0)}, path, metadata={"note": "x" * letters})
        sizes.add(path.read_bytes()[0])
        assert read_checkpoint(path)["a"].tolist() == [0, 1, 2]
    assert 0x80 in sizes  # the byte that a pickle begins with


def test_plain_values_of_numpy_and_the_standard_library_are_read(tmp_path):
    metrics = defaultdict(list, {"loss": [1.0, 2.0]})
    plain = {
        "best_acc1": np.float64(0.5),
        "epoch": np.int64(3),
        "curve": np.arange(4.0, dtype=np.float32),
        "metrics": metrics,
        "finished": datetime(2024, 1, 2, 3, 4),
        "folder": Path("out"),
    }
    torch.save({"state_dict": {"a": torch.ones(2)}, **plain}, tmp_path / "w.pth")
    held = read_checkpoint(tmp_path / "w.pth")
    assert held["best_acc1"] == 0.5
    assert held["curve"].tolist() == [0, 1, 2, 3]
    assert held["metrics"] == metrics
    assert held["finished"] == plain["finished"]
