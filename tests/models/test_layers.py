import pytest
import torch
from torch import Tensor, nn

from transferkit.core.errors import ModelError, UnknownNameError
from transferkit.core.preprocessing import Preprocessing
from transferkit.models.catalog import load_encoder
from transferkit.models.encoder import encoder_of
from transferkit.models.layers import list_layers, resolve_layers
from transferkit.models.pooled_outputs import pooled_outputs


def names(spec: str, choice: str) -> list[str]:
    encoder = load_encoder(spec)
    return [layer.name for layer in resolve_layers(encoder, [choice], encoder.pooling)]


def small(module: nn.Module):
    return encoder_of(module, name="mine", preprocessing=Preprocessing(resize=16, crop=16))


@pytest.mark.parametrize(
    ("spec", "stages"),
    [
        ("random:resnet18", "layer1 layer2 layer3 layer4 last"),
        ("random:timm:resnet18", "layer1 layer2 layer3 layer4 last"),
        ("random:imagenet-lite0", "blocks.0 blocks.1 blocks.2 blocks.4 blocks.6 last"),
        ("random:efficientnet_b0", "features.1 features.2 features.3 features.5 features.8 last"),
        ("random:mobilenet_v2", "features.1 features.3 features.6 features.13 features.18 last"),
        ("random:timm:vit_tiny_patch16_224", "blocks.2 blocks.5 blocks.8 blocks.11 last"),
        ("random:timm:deit_tiny_distilled_patch16_224", "blocks.2 blocks.5 blocks.8 blocks.11 last"),
        ("random:timm:convnext_atto", "stages.0 stages.1 stages.2 stages.3 last"),
        ("random:timm:regnety_002", "stem s1 s2 s3 s4 last"),
        ("random:timm:mixer_s32_224", "blocks.1 blocks.3 blocks.5 blocks.7 last"),
        ("random:timm:levit_128s", "stages.0 stages.1 stages.2 last"),
        ("random:squeezenet1_1", "features.4 features.7 features.12 last"),
        ("random:shufflenet_v2_x0_5", "conv1 stage2 stage3 conv5 last"),
        ("pixels", "last"),
    ],
)
def test_stages_end_where_people_expect(spec, stages):
    assert names(spec, "stages") == stages.split()
    assert names(spec, "last") == [stages.split()[-1]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "stages"),
    [
        (
            "random:vit_b_32",
            " ".join(f"encoder.layers.encoder_layer_{i}" for i in (2, 5, 8, 11)) + " last",
        ),
        (
            "random:densenet121",
            " ".join(f"features.denseblock{i}" for i in (1, 2, 3, 4)) + " last",
        ),
        ("random:timm:swin_tiny_patch4_window7_224", "layers.0 layers.1 layers.2 layers.3 last"),
        ("random:swin_t", "features.1 features.3 features.5 features.7 last"),
        ("random:convnext_tiny", "features.1 features.3 features.5 features.7 last"),
        (
            "random:vgg11",
            "features.1 features.4 features.9 features.14 features.19 avgpool last",
        ),
        (
            "random:timm:coat_tiny",
            "serial_blocks1.1 serial_blocks2.1 serial_blocks3.1 serial_blocks4.1 last",
        ),
        ("random:googlenet", "conv1 conv3 inception3b inception4e inception5b last"),
        ("random:timm:maxvit_rmlp_pico_rw_256", "stem stages.0 stages.1 stages.2 stages.3 last"),
    ],
)
def test_stages_of_larger_networks(spec, stages):
    assert names(spec, "stages") == stages.split()


@pytest.mark.parametrize(
    ("spec", "blocks"),
    [
        ("random:resnet18", [f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1)]),
        ("random:timm:vit_tiny_patch16_224", [f"blocks.{i}" for i in range(12)]),
        (
            "random:timm:levit_128s",
            [f"stages.{i}.blocks.{j}" for i, n in enumerate((2, 3, 4)) for j in range(n)],
        ),
    ],
)
def test_all_is_stages_and_every_block_once_in_order(spec, blocks):
    found = names(spec, "all")
    assert [name for name in found if name in blocks] == blocks
    assert len(found) == len(set(found))
    assert set(found) == {*blocks, *names(spec, "stages")}


def test_blocks_that_form_a_tree_are_its_leaves():
    blocks = [name for name in names("random:timm:dla46x_c", "all") if "." in name]
    assert blocks == [
        *("level2.tree1", "level2.tree2"),
        *(f"level{i}.tree{j}.tree{k}" for i in (3, 4) for j in (1, 2) for k in (1, 2)),
        *("level5.tree1", "level5.tree2"),
    ]


@pytest.mark.slow
def test_blocks_that_return_several_maps_at_once_are_left_out():
    assert not any(name.startswith("parallel_blocks") for name in names("random:timm:coat_tiny", "all"))


def test_patterns_do_not_cross_dots():
    assert names("random:resnet18", "layer*") == ["layer1", "layer2", "layer3", "layer4"]
    assert names("random:resnet18", "layer[24].0") == ["layer2.0", "layer4.0"]
    assert names("random:timm:vit_tiny_patch16_224", "blocks.[369]") == ["blocks.3", "blocks.6", "blocks.9"]


def test_choices_are_joined_in_the_order_of_execution():
    encoder = load_encoder("random:resnet18")
    found = resolve_layers(encoder, ["last", "layer4", "layer*", "conv1"], "avgmax")
    assert [layer.name for layer in found] == ["conv1", "layer1", "layer2", "layer3", "layer4", "last"]
    assert [(layer.kind, layer.dim) for layer in found[-2:]] == [("map", 1024), ("vector", 512)]
    assert found[-2].shape == (512, 7, 7)


def test_the_network_s_own_output_is_a_layer():
    encoder = load_encoder("random:resnet18")
    (output,) = resolve_layers(encoder, ["output"], "avg")
    assert (output.kind, output.shape, output.dim) == ("vector", (1000,), 1000)
    assert list_layers(encoder)[-1] == output


def test_layers_before_pooling_have_as_many_features_as_channels():
    shapes = {
        layer.name: (layer.kind, layer.shape, layer.dim) for layer in list_layers(load_encoder("random:resnet18"))
    }
    assert shapes["layer2"] == ("map", (128, 28, 28), 128)


def test_dims_are_those_of_the_pooled_outputs():
    encoder = load_encoder("random:imagenet-lite0").at(64)
    layers = resolve_layers(encoder, ["all"], "grid2")
    with pooled_outputs(encoder, [layer.name for layer in layers], "grid2") as outputs:
        found = outputs(torch.randn(1, 3, 64, 64))
    assert {layer.name: layer.dim for layer in layers} == {name: x.shape[1] for name, x in found.items()}


@pytest.mark.parametrize("pattern", ["layr4", "layer5"])
def test_an_unknown_layer_suggests_the_nearest(pattern):
    with pytest.raises(UnknownNameError, match=f"No layer named '{pattern}'. Did you mean 'layer"):
        names("random:resnet18", pattern)


def test_a_pattern_like_nothing_is_answered_with_a_few():
    with pytest.raises(UnknownNameError, match=r"No layer named 'zz\*'\. Choose from: ") as error:
        names("random:resnet18", "zz*")
    assert str(error.value) == (
        "No layer named 'zz*'. Choose from: last, stages, all, layer1, layer2, layer3, layer4, conv1, …; "
        "see `transferkit models layers random:resnet18`."
    )


def test_a_misspelled_pattern_is_answered_with_the_nearest():
    spec = "random:timm:vit_tiny_patch16_224"
    with pytest.raises(UnknownNameError, match=r"No layer named 'block\.\*'\. Did you mean 'blocks\.\*'\?"):
        names(spec, "block.*")


def test_a_pooling_that_does_not_fit_names_the_layer():
    with pytest.raises(ModelError, match="Pooling 'cls' does not fit layer 'layer4'"):
        resolve_layers(load_encoder("random:resnet18"), ["layer4"], "cls")


def test_cls_on_what_comes_before_the_class_token():
    encoder = load_encoder("random:timm:vit_tiny_patch16_224")
    with pytest.raises(ModelError, match="layer 'patch_embed': it has no class token"):
        resolve_layers(encoder, ["patch_embed"], "cls")


class Awkward(nn.Module):
    """Runs one module twice, one never, and returns tuples and other things on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.twice = nn.ReLU()
        self.never = nn.Linear(4, 4)
        self.pair = Pair()
        self.windows = nn.Unflatten(0, (-1,))
        self.words = Words()
        self.norm = nn.LayerNorm(4)
        self.fc = nn.Linear(4, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(self.conv(x)))
        x, _ = self.pair(x)
        self.windows(x.flatten())
        self.words(x)
        return self.fc(self.norm(x.mean((2, 3))))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, list[int]]:
        return x + 1, [1]


class Words(nn.Module):
    def forward(self, x: Tensor) -> str:
        return "none"


def test_any_module_can_be_traced():
    encoder = small(Awkward())
    assert [layer.name for layer in list_layers(encoder)] == ["conv", "pair", "norm", "last", "fc", "output"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("twice", "it runs 2 times in a forward pass"),
        ("never", "it does not run in a forward pass"),
        ("words", "it returns no tensor"),
        ("windows", r"it returns \[2048\] for 2 images"),
    ],
)
def test_the_error_for_an_unsupported_layer_names_the_reason(name, reason):
    with pytest.raises(ModelError, match=f"Layer '{name}' cannot be used: {reason}"):
        resolve_layers(small(Awkward()), [name], "avg")


def test_two_stages_are_too_few_and_single_modules_help():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    encoder = small(module)
    assert [layer.name for layer in resolve_layers(encoder, ["stages"], "avg")] == ["1", "4", "last"]


def test_a_size_that_the_network_does_not_take():
    swin = "random:swin_tiny_patch4_window7_224?depths=(1,1,1,1)&embed_dim=12&num_heads=(1,2,3,4)"
    with pytest.raises(
        ModelError,
        match=r"cannot run on 96×96 images: .* a size it takes with --size, .* \?img_size=96 after its name",
    ):
        list_layers(load_encoder(swin).at(96))
    assert list_layers(load_encoder(f"{swin}&img_size=96"))


def test_tracing_removes_its_hooks():
    module = Awkward()
    encoder = small(module)
    list_layers(encoder)
    assert not any(part._forward_hooks for part in module.modules())
    assert torch.is_grad_enabled()


class Ended(nn.Module):
    """A convolution, its mean, two linear modules, and an end that the test gives."""

    def __init__(self, end) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 8, 3)
            self.fc, self.last = nn.Linear(8, 5), nn.Linear(8, 5)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x).mean((2, 3))
        return self.end(self.fc(features), self.last(features))


@pytest.mark.parametrize(
    ("end", "dim"),
    [
        (lambda a, b: b, 8),  # a classifier that is called last itself
        (lambda a, b: a.softmax(1) * 0 + b.softmax(1), None),  # two modules have the shape of the output
        (lambda a, b: a + 0.5 * b, None),
        (lambda a, b: (a + b) / 2, None),
        (lambda a, b: (a + b) / 2 + 10, None),  # logits that are all positive
        (lambda a, b: nn.functional.normalize(b), 5),
        (lambda a, b: b.relu(), 5),
    ],
)
def test_last_of_any_network_is_its_representation_or_refused(end, dim):
    encoder = small(Ended(end))
    if dim is None:
        with pytest.raises(ModelError, match=r"has no layer 'last': .* fc and last, .*--layers output"):
            resolve_layers(encoder, ["last"], None)
        assert "last" not in names_of(encoder, "stages")
    else:
        (layer,) = resolve_layers(encoder, ["last"], None)
        assert (layer.name, layer.dim) == ("last", dim)
        with pooled_outputs(encoder, ["last"]) as outputs:
            assert outputs(torch.randn(2, 3, 16, 16))["last"].shape == (2, dim)


def names_of(encoder, choice: str) -> list[str]:
    return [layer.name for layer in resolve_layers(encoder, [choice], None)]


def test_probabilities_come_from_a_classifier():
    for end in (nn.Softmax(1), nn.LogSoftmax(1)):
        module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 9), end)
        (layer,) = resolve_layers(small(module), ["last"], None)
        assert layer.dim == 3


def test_a_scaled_output_is_refused():
    class Scaled(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 3

    module = Scaled(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 9))
    with pytest.raises(ModelError, match="mine has no layer 'last': its output is computed from that of 2"):
        resolve_layers(small(module), ["last"], None)


@pytest.mark.parametrize("name", ["convit_tiny", "cait_xxs24_224"])
def test_each_layer_takes_the_network_s_own_pooling_where_it_fits(name):
    encoder = load_encoder(f"random:timm:{name}")
    assert encoder.pooling == "cls"
    found = {layer.name: (layer.pooling, layer.dim) for layer in resolve_layers(encoder, ["all"], None)}
    assert found["blocks.0"] == ("mean-tokens", 192)
    assert found["last"] == ("", 192)
    if name == "convit_tiny":  # its class token comes before the tenth block
        assert found["blocks.9"] == ("mean-tokens", 192)
        assert found["blocks.10"] == ("cls", 192)
    with pytest.raises(ModelError, match=r"Pooling 'cls' does not fit layer 'blocks\.0'"):
        resolve_layers(encoder, ["all"], "cls")


@pytest.mark.parametrize("side", [32, 48, 64])
def test_prefix_tokens_are_counted_from_the_patches(side):
    """Four patches, a class token and four registers are nine tokens, a square number."""
    encoder = load_encoder("random:timm:vit_small_patch16_dinov3").at(side)
    image = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        tokens = encoder.module.forward_intermediates(
            image,
            indices=[11],
            norm=False,
            output_fmt="NLC",
            return_prefix_tokens=True,
            intermediates_only=True,
        )
    ((patches, prefix),) = tokens
    assert patches.shape[1] == (side // 16) ** 2
    with pooled_outputs(encoder, ["blocks.11"], "mean-tokens") as outputs:
        torch.testing.assert_close(outputs(image)["blocks.11"], patches.mean(1))
    with pooled_outputs(encoder, ["blocks.11"], "cls") as outputs:
        torch.testing.assert_close(outputs(image)["blocks.11"], prefix[:, 0])


@pytest.mark.parametrize(
    ("spec", "size", "stages", "blocks"),
    [
        (
            "random:inception_v3",
            128,
            {"Mixed_5d", "Mixed_6e", "Mixed_7c"},
            {"Mixed_5b", "Mixed_6a", "Mixed_7b"},
        ),
        ("random:timm:inception_v3", 96, {"Mixed_5d", "Mixed_6e", "Mixed_7c"}, {"Mixed_5b", "Mixed_6a"}),
        ("random:googlenet", 64, {"inception3b", "inception4e"}, {"inception4a", "inception5b"}),
        ("random:timm:dpn48b", 64, {"features.conv2_3"}, {"features.conv2_1", "features.conv5_2"}),
        ("random:timm:hgnetv2_b0", 64, {"stages.0", "stages.3"}, {"stages.0.blocks.0", "stages.2.blocks.1"}),
        ("random:timm:cspnext_tiny", 64, {"stages.0", "stages.3"}, {"stages.0.1.blocks.0"}),
    ],
)
def test_stages_are_stages_and_all_has_the_blocks(spec, size, stages, blocks):
    encoder = load_encoder(spec).at(size)
    assert stages <= set(names_of(encoder, "stages"))
    assert stages | blocks <= set(names_of(encoder, "all"))
