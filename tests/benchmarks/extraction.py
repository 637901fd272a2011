"""Extraction of five layers of resnet50 at 224 pixels, against the bare forward pass and a plain loop."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.timing import median_ratio
from transferkit.cache.store import FeatureStore
from transferkit.core.devices import choose_compute
from transferkit.core.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from transferkit.data.arrays import from_arrays
from transferkit.data.dataset import Split
from transferkit.models.catalog import load_encoder
from transferkit.protocols.extract import Extractor
from transferkit.protocols.settings import ExtractSettings

LAYERS = ("layer1", "layer2", "layer3", "layer4", "avgpool")
IMAGES = 128
BATCH = 32
REPEATS = 5


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 224, 224, 3), dtype=np.uint8)
    split = from_arrays(images, np.arange(IMAGES) % 2, classes=("a", "b"), name="noise", split="train")
    compute = choose_compute()
    print(f"extraction of {len(LAYERS)} layers of random:resnet50, {IMAGES} images, {compute.precision}")
    bare = median_ratio(lambda: extracted(split), lambda: bare_forward(images), repeats=REPEATS)
    print(f"{'against the bare forward pass':34} {bare}  {IMAGES / bare.subject_seconds:.1f} images/s")
    plain = median_ratio(lambda: extracted(split), lambda: plain_loop(images), repeats=REPEATS)
    print(f"{'against a plain fp32 loop':34} {plain}  {IMAGES / plain.against_seconds:.1f} images/s")


_ENCODER = load_encoder("random:resnet50")
_EXTRACTOR = Extractor(_ENCODER, ExtractSettings(layers=LAYERS, batch=BATCH), store=FeatureStore(Path("unused")))
_PLAIN = load_encoder("random:resnet50").module


def extracted(split: Split) -> None:
    """The whole of ours, once layers are resolved: load, run, pool, write, in a new cache."""
    with tempfile.TemporaryDirectory() as folder:
        _EXTRACTOR.store = FeatureStore(Path(folder))
        _EXTRACTOR.open(split).run()


def bare_forward(images: np.ndarray) -> None:
    """Run only the network, at the same precision and batch size, on images that are already in memory."""
    compute = choose_compute()
    for x in _batches(images):
        with torch.inference_mode(), compute.autocast():
            _ENCODER.module(x.to(memory_format=torch.channels_last))


def plain_loop(images: np.ndarray) -> dict[str, torch.Tensor]:
    """Extract as the usual tools do: fp32, and hooks that keep whole maps, which are concatenated at the end."""
    kept: dict[str, list[torch.Tensor]] = {name: [] for name in LAYERS}

    def keep(name: str):
        return lambda _module, _args, output: kept[name].append(output.clone())

    handles = [_PLAIN.get_submodule(name).register_forward_hook(keep(name)) for name in LAYERS]
    with torch.inference_mode():
        for x in _batches(images):
            _PLAIN(x)
    for handle in handles:
        handle.remove()
    return {name: torch.cat(parts) for name, parts in kept.items()}


def _batches(images: np.ndarray):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    for start in range(0, len(images), BATCH):
        x = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2).contiguous().float() / 255
        yield (x - mean) / std
