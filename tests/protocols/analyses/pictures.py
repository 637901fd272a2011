"""Small pictures of known content, and where they are looked at."""

from pathlib import Path

import numpy as np
from PIL import Image

from transferkit.core.workspace import Workspace
from transferkit.protocols.context import RunContext
from transferkit.protocols.settings import ExtractSettings

COUNTS = {"train": 16, "val": 8, "test": 12}
STAGES = ExtractSettings(layers=("layer1", "layer4"), size=32, device="cpu", precision="fp32", batch=16, workers=0)
LAST = ExtractSettings(size=32, device="cpu", precision="fp32", batch=16, workers=0)
MODEL = "random:test_resnet"


def draw_discs(root: Path, *, gray: bool = False) -> Path:
    """Bright discs of two sizes, the classes, anywhere on dark ground of any colour."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    for split, count in COUNTS.items():
        for name, radius in (("large", 8), ("small", 4)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                y, x = rng.uniform(10, 22, 2)
                ground = rng.uniform(0, 90, 1 if gray else 3) * np.ones(3)
                pixels = np.full((32, 32, 3), ground) + rng.normal(0, 4, (32, 32, 1))
                pixels[np.hypot(rows - y, columns - x) < radius] = 230
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / split / name / f"{i:02}.png")
    return root


def context(root: Path) -> RunContext:
    """A workspace of its own."""
    return RunContext(Workspace.at(root))
