"""Features of another network are never taken from the cache; those of the same network are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

import transferkit
from tests.test_api import SETTINGS, coloured
from transferkit.cache.store import FeatureStore
from transferkit.core.errors import ModelError
from transferkit.protocols import reuse


def doubled(x: Tensor) -> Tensor:
    return 2 * x


HELPER: dict[str, Callable[[Tensor], Tensor]] = {"scale": torch.nn.functional.relu}


class Base(nn.Module):
    def finish(self, x: Tensor) -> Tensor:
        return x.relu()


class Network(Base):
    """A network whose output also depends on attributes and functions that its printed form does not show."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.power = 1.0
        self.shift = torch.zeros(1)  # neither parameter nor buffer
        self.function: Callable[[Tensor], Tensor] = torch.tanh

    def forward(self, x: Tensor) -> Tensor:
        x = self.function(self.body(x)) ** self.power + self.shift
        return HELPER["scale"](self.finish(x)).mean((2, 3))


def attribute(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.power = 3.0


def tensor(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.shift = torch.ones(1)


def function(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.function = torch.sin


def helper(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HELPER, "scale", doubled)


def base_class(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Base, "finish", lambda self, x: x.abs())


def hook(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.body.register_forward_hook(lambda module, args, output: output + 1)


def extracted(network: object, workspace: Path, layers: str = "output") -> np.ndarray:
    found = transferkit.extract(network, coloured(6, 0), layers, workspace=workspace, **SETTINGS)
    return found[layers]["all"].x


def files(workspace: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in workspace.rglob("*.h5")}


CHANGES = [attribute, tensor, function, helper, base_class, hook]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_changes_the_output_makes_another_network(change, tmp_path, monkeypatch):
    first = extracted(Network(), tmp_path / "one")
    changed = Network()
    change(changed, monkeypatch)
    second = extracted(changed, tmp_path / "one")
    assert np.array_equal(second, extracted(changed, tmp_path / "two"))
    assert not np.array_equal(first, second)
    before = files(tmp_path / "one")
    assert np.array_equal(extracted(changed, tmp_path / "one"), second)
    monkeypatch.undo()
    assert np.array_equal(extracted(Network(), tmp_path / "one"), first)
    assert files(tmp_path / "one") == before  # both are found again


def vit(heads: int) -> nn.Module:
    module = timm.models.VisionTransformer(
        img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=heads, num_classes=0
    )
    source = torch.Generator().manual_seed(0)
    for weight in module.parameters():
        weight.data = torch.randn(weight.shape, generator=source) / 2
    return module


def test_the_number_of_heads_makes_another_network(tmp_path):
    three, six = vit(3), vit(6)
    assert repr(three) == repr(six)
    first, second = (extracted(network, tmp_path, "norm") for network in (three, six))
    assert not np.allclose(first, second, atol=0.01)
    assert np.array_equal(second, extracted(six, tmp_path / "other", "norm"))


def test_an_encoder_that_was_changed_after_it_was_loaded_is_compared(tmp_path):
    plain, hooked = (transferkit.load_encoder("random:timm:test_resnet") for _ in range(2))
    first = extracted(plain, tmp_path, "layer1")
    hooked.module.layer1.register_forward_hook(lambda module, args, output: output + 1)
    assert not np.array_equal(first, extracted(hooked, tmp_path, "layer1"))


def test_more_layers_are_added_to_the_entry_of_the_same_network_only(tmp_path):
    extracted(vit(3), tmp_path, "blocks.0")
    extracted(vit(6), tmp_path, "blocks.1")
    both = transferkit.extract(vit(3), coloured(6, 0), ["blocks.*"], workspace=tmp_path, **SETTINGS)
    assert np.array_equal(both["blocks.1"]["all"].x, extracted(vit(3), tmp_path / "other", "blocks.1"))


SPEC = "random:timm:test_resnet"


@pytest.fixture
def _other_versions(monkeypatch):
    monkeypatch.setattr("transferkit.protocols.extract.library_versions", lambda: "timm 0.0")


@pytest.mark.usefixtures("_other_versions")
def test_entries_of_other_versions_are_reused_where_the_features_are_alike(tmp_path, monkeypatch):
    first = extracted(SPEC, tmp_path, "layer1")
    monkeypatch.undo()
    before = files(tmp_path)
    assert np.array_equal(extracted(SPEC, tmp_path, "layer1"), first)
    assert files(tmp_path) == before
    (entry,) = FeatureStore(tmp_path / "features").entries()
    assert entry.manifest.versions == ("timm 0.0", reuse.library_versions())
    monkeypatch.setattr(reuse, "_are_alike", lambda *_: pytest.fail("compared again"))
    extracted(SPEC, tmp_path, "layer1")


@pytest.mark.usefixtures("_other_versions")
def test_entries_of_other_versions_are_not_reused_where_the_features_differ(tmp_path, monkeypatch):
    first = extracted(SPEC, tmp_path, "layer1")
    monkeypatch.undo()
    block = timm.models.resnet.BasicBlock
    forward = block.forward
    monkeypatch.setattr(block, "forward", lambda self, x: 1.1 * forward(self, x))
    second = extracted(SPEC, tmp_path, "layer1")
    assert not np.array_equal(first, second)
    names = sorted(entry.key.architecture for entry in FeatureStore(tmp_path / "features").entries())
    assert names == ["timm:test_resnet", "timm:test_resnet (network 2)"]


def test_a_named_network_of_the_same_versions_is_not_computed_again(tmp_path, monkeypatch):
    first = extracted(SPEC, tmp_path, "layer1")
    monkeypatch.setattr(reuse, "_are_alike", lambda *_: pytest.fail("compared"))
    assert np.array_equal(extracted(SPEC, tmp_path, "layer1"), first)


def test_a_network_without_the_stored_layers_is_another(tmp_path):
    from transferkit.data.arrays import from_torch_dataset
    from transferkit.models.encoder import encoder_of
    from transferkit.protocols.extract import Extractor
    from transferkit.protocols.settings import ExtractSettings

    split = from_torch_dataset(coloured(6, 0), name="c", split="all")
    settings = ExtractSettings(layers=("output",), size=16, device="cpu", precision="fp32", workers=0)
    extractor = Extractor(encoder_of(Network(), name="n"), settings, store=FeatureStore(tmp_path))
    entry = extractor.open(split).run()

    def forward(rows, layers):
        raise ModelError("no such layer")

    assert not reuse.may_reuse(entry, ["output"], forward, named=False)


def test_rounding_does_not_make_another_network():
    stored = np.linspace(-4, 4, 60).reshape(6, 10).astype(np.float16)
    noise = np.random.default_rng(0).normal(size=stored.shape) * 4e-4
    assert reuse._is_close(stored + noise, stored, "fp32")
    assert not reuse._is_close(stored + 0.01, stored, "fp32")
    assert reuse._is_close(stored + 0.02, stored, "bf16")
    assert not reuse._is_close(stored[:, :9], stored, "fp32")
