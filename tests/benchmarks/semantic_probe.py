"""Seconds of the semantic protocol: all targets at stages and at all layers of a network, from the cache."""

import tempfile
import time
from pathlib import Path

from PIL import Image

from transferkit.core.workspace import Workspace
from transferkit.protocols.context import RunContext
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.settings import ExtractSettings

MODEL, SIZE, IMAGES = "imagenet-lite0", 64, 2000
LEVELS = ("low", "mid", "high")


def main() -> None:
    """Print the table; the first pass fills the cache, baselines included."""
    with tempfile.TemporaryDirectory() as folder:
        data = f"folder:{drawn(Path(folder))}"
        for layers in ("stages", "all"):
            context = RunContext(Workspace(Path(folder, "w"), data=Path(folder, "data")))
            settings = ExtractSettings(layers=(layers,), size=SIZE)
            asked = [eval_request("semantic", level=level) for level in LEVELS]
            Evaluator(context, settings).run([MODEL], [data], asked)
            started = time.perf_counter()
            records = Evaluator(context, settings, force=True).run([MODEL], [data], asked)
            seconds = time.perf_counter() - started
            targets = sum(len(record.extra_metrics["targets"]) for record in records[: len(LEVELS)])
            found = len({record.layer for record in records})
            print(
                f"{targets} targets, {found} {layers} of {MODEL}, with both baselines, {IMAGES} images: "
                f"{seconds:.1f} s, {seconds / len(records):.2f} s a record"
            )


def drawn(folder: Path) -> Path:
    """The first images of the source set as files, in a folder a class."""
    split = open_dataset("mini/objects", root=folder / "mini").split("train")
    for row in range(IMAGES):
        context = folder / "objects" / split.classes[split.labels[row]]
        context.mkdir(parents=True, exist_ok=True)
        Image.fromarray(split.reader.image(row)).save(context / f"{row}.png")
    return folder / "objects"
