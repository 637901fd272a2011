"""Extraction end to end, with real networks on real files."""

import io
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from transferkit.cache.store import FeatureStore
from transferkit.core.errors import DataError, DiskSpaceError, NonFiniteError, UnknownNameError, UsageError
from transferkit.core.preprocessing import Preprocessing
from transferkit.core.workspace import Workspace
from transferkit.data.resize_and_crop import frame, normalised
from transferkit.models.catalog import load_encoder
from transferkit.models.encoder import encoder_of
from transferkit.models.pooled_outputs import pooled_outputs
from transferkit.protocols.context import RunContext
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.protocols.extract import Extractor, extractions
from transferkit.protocols.settings import ExtractSettings
from transferkit.reports.progress import PlainReporter

SMALL = ExtractSettings(layers=("layer1", "layer4"), size=32, device="cpu", precision="fp32", batch=4, workers=0)


def write_images(root: Path, *, per_class: int = 8, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(per_class):
                pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return root


def extractor(workspace: Path, settings: ExtractSettings = SMALL, model: str = "random:resnet18") -> Extractor:
    return Extractor(load_encoder(model), settings, store=FeatureStore(workspace / "features"))


def opened(root: Path, workspace: Path, split: str = "train"):
    return open_dataset(f"folder:{root}", root=workspace / "data").split(split)


def shard_bytes(workspace: Path) -> dict[str, bytes]:
    files = sorted((workspace / "features").rglob("*"))
    return {str(f.relative_to(workspace)): f.read_bytes() for f in files if f.suffix in (".h5", ".json")}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(tmp_path / "photos")


def test_features_are_those_of_the_plain_forward_pass(photos: Path, tmp_path: Path) -> None:
    split = opened(photos, tmp_path)
    network = extractor(tmp_path)
    entry = network.open(split).run()
    view, module = network.encoder.preprocessing, network.encoder.module
    images = []
    for name in split.ids:
        image = Image.open(photos / name)
        side = view.resize
        width, height = image.size
        scale = side / min(width, height)
        image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
        left, top = (image.width - view.crop) // 2, (image.height - view.crop) // 2
        images.append(np.asarray(image.crop((left, top, left + view.crop, top + view.crop))))
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(view.mean).view(1, 3, 1, 1)) / torch.tensor(view.std).view(1, 3, 1, 1)
    with torch.inference_mode():
        x = module.maxpool(module.relu(module.bn1(module.conv1(x))))
        first = module.layer1(x)
        fourth = module.layer4(module.layer3(module.layer2(first)))
    for layer, maps in (("layer1", first), ("layer4", fourth)):
        features = entry.features(layer)
        assert list(features.ids) == list(split.ids)
        np.testing.assert_allclose(features.x.astype(np.float64), maps.mean((2, 3)).numpy(), rtol=0.03, atol=0.02)


def test_a_second_call_computes_nothing(photos: Path, tmp_path: Path) -> None:
    split = opened(photos, tmp_path)
    extractor(tmp_path).open(split).run()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "features").rglob("*.h5")}
    again = extractor(tmp_path).open(split)
    assert again.missing == ()
    assert again.plan(timed=False).rows == 0
    again.run()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "features").rglob("*.h5")} == before


def test_more_layers_extract_only_the_missing_ones(photos: Path, tmp_path: Path) -> None:
    split = opened(photos, tmp_path)
    extractor(tmp_path).open(split).run()
    before = shard_bytes(tmp_path)
    more = ExtractSettings(**{**vars(SMALL), "layers": ("layer1", "layer2", "layer4")})
    extraction = extractor(tmp_path, more).open(split)
    assert extraction.missing == ("layer2",)
    entry = extraction.run()
    assert set(entry.layers) == {"layer1", "layer2", "layer4"}
    after = shard_bytes(tmp_path)
    assert all(after[name] == data for name, data in before.items() if name.endswith(".h5"))


@pytest.mark.parametrize(
    "change",
    [{"size": 48}, {"precision": "bf16"}, {"pooling": "max"}, {"dtype": "float32"}],
    ids=lambda change: next(iter(change)),
)
def test_a_request_that_differs_never_reuses_an_entry(photos: Path, tmp_path: Path, change: dict) -> None:
    split = opened(photos, tmp_path)
    extractor(tmp_path).open(split).run()
    other = ExtractSettings(**{**vars(SMALL), **change})
    assert extractor(tmp_path, other).open(split).missing == ("layer1", "layer4")


def test_a_variant_is_another_entry_with_the_features_of_the_changed_images(photos: Path, tmp_path: Path) -> None:
    split = opened(photos, tmp_path)
    plain = extractor(tmp_path).open(split).run()
    network = extractor(tmp_path, replace(SMALL, variant="rotate:180"))
    variant = network.open(split).run()
    assert plain.key.differences(variant.key) == [("view", "test", "rotate:180")]
    squares = np.stack([frame(split.reader.image(row), network.encoder.preprocessing) for row in range(len(split))])
    images = normalised(torch.from_numpy(squares).flip(2, 3), network.encoder.preprocessing)
    with torch.inference_mode(), pooled_outputs(network.encoder, ["layer4"], "avg") as outputs:
        expected = outputs(images)["layer4"]
    np.testing.assert_allclose(variant.features("layer4").x, expected, rtol=0.01, atol=0.01)
    assert np.abs(variant.features("layer4").x - plain.features("layer4").x).max() > 0.2
    with pytest.raises(UsageError, match="rotate:90, rotate:180"):
        extractor(tmp_path, replace(SMALL, variant="rotate:45"))


def test_a_changed_data_set_is_another_entry(photos: Path, tmp_path: Path) -> None:
    extractor(tmp_path).open(opened(photos, tmp_path)).run()
    victim = photos / "train" / "cat" / "00.png"
    Image.new("RGB", (40, 48), "red").save(victim)
    assert extractor(tmp_path).open(opened(photos, tmp_path)).missing == ("layer1", "layer4")


def test_other_weights_are_another_entry(photos: Path, tmp_path: Path) -> None:
    split = opened(photos, tmp_path)
    extractor(tmp_path).open(split).run()
    assert extractor(tmp_path, model="random:resnet18@1").open(split).missing == ("layer1", "layer4")


def test_an_unreadable_file_keeps_its_row_and_is_counted(photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "cat" / "03.png").write_bytes(b"no image")
    split = opened(photos, tmp_path)
    told = io.StringIO()
    entry = extractor(tmp_path).open(split).run(PlainReporter(told))
    assert "train: 1 of 16 images cannot be read and are left out, such as train/cat/03.png: " in told.getvalue()
    features = entry.features("layer4")
    assert entry.rows == 16
    assert len(features) == 15
    assert [name for name, _ in features.skipped] == ["train/cat/03.png"]
    assert "train/cat/03.png" not in features.ids


def test_grey_that_is_dark_or_read_on_different_scales_is_told(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "grey") / "train" / "cat"
    for name, top, dtype in (("a", 4095, "u2"), ("b", 1, "f4"), ("c", 200, "f4"), ("d", 200, "u1")):
        ramp = np.linspace(0, top, 40 * 48).reshape(40, 48).astype(dtype)
        Image.fromarray(ramp).save(folder / f"{name}.tif")
    split = opened(tmp_path / "grey", tmp_path)
    told = io.StringIO()
    extraction = extractor(tmp_path).open(split)
    extraction.run(PlainReporter(told))
    start = f"{split.dataset} train: "
    assert f"{start}1 grey images on the scale 0 … 65535 reach at most 4095: they are dark" in told.getvalue()
    assert (
        f"{start}images of signed, 32-bit or floating-point grey were read on different scales: 1 as 0 … 1 "
        "(such as train/cat/b.tif), 1 as 0 … 255 (such as train/cat/c.tif)." in told.getvalue()
    )


def test_on_error_stop_names_the_file_and_the_remedy(photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "dog" / "01.png").write_bytes(b"")
    strict = ExtractSettings(**{**vars(SMALL), "on_error": "stop"})
    with pytest.raises(DataError, match=r"train/dog/01\.png .*--on-error keep"):
        extractor(tmp_path, strict).open(opened(photos, tmp_path)).run()


def test_overflow_in_float16_is_refused_with_layer_and_row(photos: Path, tmp_path: Path) -> None:
    class Loud(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer1 = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer1(x) * 1e7

    settings = ExtractSettings(layers=("output",), size=32, device="cpu", precision="fp32", workers=0)
    encoder = encoder_of(Loud(), name="loud", preprocessing=Preprocessing())
    network = Extractor(encoder, settings, store=FeatureStore(tmp_path / "features"))
    with pytest.raises(NonFiniteError, match=r"output .*not finite.*--dtype float32"):
        network.open(opened(photos, tmp_path)).run()


def test_too_little_disk_is_refused_before_anything_is_computed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(10))
    with pytest.raises(DiskSpaceError, match="only 10 B are free"):
        extractor(tmp_path).open(opened(photos, tmp_path)).run()
    assert not list(tmp_path.rglob("*.h5"))


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_an_unknown_layer_is_refused_with_the_nearest(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="layer4"):
        extractor(tmp_path, ExtractSettings(layers=("layer9",), size=32))


SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
import transferkit.protocols.extract as extract
extract.SHARD_ROWS = 8
from transferkit.cache.store import FeatureStore
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.data.resize_and_crop import frame, normalised
from transferkit.models.catalog import load_encoder
from transferkit.protocols.settings import ExtractSettings
photos, workspace = map(Path, sys.argv[1:3])
exact = dict(device="cpu", precision="fp32", batch=4, workers=0)
settings = ExtractSettings(layers=("layer1", "layer4"), size=32, **exact)
split = open_dataset(f"folder:{photos}", root=workspace / "data").split("train")
store = FeatureStore(workspace / "features")
network = extract.Extractor(load_encoder("random:resnet18"), settings, store=store)
print("ready", flush=True)
network.open(split).run()
"""


def started(photos: Path, workspace: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(photos), str(workspace)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", per_class=60)
    process = started(photos, tmp_path / "whole")
    assert process.wait() == 0
    whole = shard_bytes(tmp_path / "whole")
    assert len([name for name in whole if name.endswith(".h5")]) == 15
    rng = random.Random(0)
    for attempt in range(4):
        process = started(photos, tmp_path / "killed")
        time.sleep(rng.uniform(0.02, 0.5) * (1 + attempt))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert started(photos, tmp_path / "killed").wait() == 0
    assert shard_bytes(tmp_path / "killed") == whole


@pytest.mark.slow
def test_two_processes_share_the_work_and_agree_with_one(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", per_class=60)
    assert started(photos, tmp_path / "alone").wait() == 0
    pair = [started(photos, tmp_path / "both") for _ in range(2)]
    assert [process.wait() for process in pair] == [0, 0]
    assert shard_bytes(tmp_path / "both") == shard_bytes(tmp_path / "alone")


def test_extractions_run_the_product(photos: Path, tmp_path: Path) -> None:
    context = RunContext(Workspace.at(tmp_path / "workspace"))
    found = list(extractions(("random:resnet18", "pixels"), (f"folder:{photos}",), ExtractSettings(), context=context))
    assert [(e.encoder.spec, e.split.name) for e in found] == [
        (model, split) for model in ("random:resnet18", "pixels") for split in ("train", "test")
    ]
    assert not (tmp_path / "workspace" / "features").exists()  # nothing is written before it is run


def test_the_plan_is_what_is_written(photos: Path, tmp_path: Path) -> None:
    extraction = extractor(tmp_path).open(opened(photos, tmp_path))
    plan = extraction.plan(timed=True)
    assert plan.rows == 16
    assert plan.bytes >= 16 * (64 + 512) * 2
    assert plan.seconds is not None
    assert plan.seconds > 0
    assert str(plan).startswith("16 images, ")


class Volume(torch.nn.Module):
    """Sees an image as a volume of one slice, with a 3-D convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.deep = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv3d(4, 5, (1, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.deep(self.flat(x)[:, :, None]).mean((2, 3, 4))


def test_weights_with_five_axes_are_extracted_as_they_are(photos: Path, tmp_path: Path) -> None:
    module = Volume()
    encoder = encoder_of(module, name="volume", preprocessing=Preprocessing(resize=32, crop=32))
    settings = replace(SMALL, layers=("last",), size=None)
    split = opened(photos, tmp_path)
    found = Extractor(encoder, settings, store=FeatureStore(tmp_path / "features")).open(split).run()
    squares = np.stack([frame(split.reader.image(row), encoder.preprocessing) for row in range(len(split))])
    with torch.inference_mode():
        expected = module(normalised(torch.from_numpy(squares), encoder.preprocessing))
    np.testing.assert_allclose(found.features("last").x, expected, rtol=0.01, atol=0.01)
    assert module.flat.weight.is_contiguous(memory_format=torch.channels_last)


def test_features_say_how_each_layer_was_pooled(photos: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, layers=("patch_embed", "blocks.1", "last"), size=None)
    split = opened(photos, tmp_path)
    filled = extractor(tmp_path, settings, "random:timm:test_vit").open(split).run()
    (again,) = FeatureStore(tmp_path / "features").entries()
    for entry in (filled, again):
        poolings = {layer: entry.features(layer).pooling for layer in settings.layers}
        assert poolings == {"patch_embed": "avg", "blocks.1": "cls", "last": "cls"}
