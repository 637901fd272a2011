"""Semantic targets of one image, against what resnet50 costs for it: processor time, whatever else runs."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tests.benchmarks.timing import Ratio, median_ratio
from transferkit.mini import objects
from transferkit.mini.canvas import quantised
from transferkit.models.catalog import load_encoder
from transferkit.semantics import TARGETS
from transferkit.semantics.measure import measure_batch
from transferkit.semantics.scene import area_weights

SIDES = (224, 64)
IMAGES = 4
REPEATS = 5


def main() -> None:
    """Print the table: all targets at once, then each target on its own."""
    torch.set_num_threads(1)
    network = load_encoder("random:resnet50").module.eval()
    print(f"{len(TARGETS)} targets against resnet50 fp32, {IMAGES} images a run")
    for side in SIDES:
        squares = pictures(side)
        x = torch.from_numpy(squares).float() / 255
        ratio = compared(partial(measure_batch, squares), partial(forward, network, x))
        each = ratio.subject_seconds / IMAGES * 1e3
        print(f"{side:4} pixels {ratio}  {each:.2f} ms an image, {1 / ratio.ratio:.1%} of resnet50")
    squares = pictures(SIDES[0])
    print(f"each alone at {SIDES[0]} pixels, with what it needs of the shared results, against all")
    for name in TARGETS:
        alone = partial(measure_batch, squares, [name])
        print(f"  {name:22} {compared(alone, partial(measure_batch, squares))}")


def compared(subject: Callable[[], object], against: Callable[[], object]) -> Ratio:
    """Return the ratio of processor times."""
    return median_ratio(subject, against, repeats=REPEATS, clock=time.process_time)


def pictures(side: int) -> np.ndarray:
    """Drawn objects, ``[n, 3, side, side]``; enlarged by pixel replication and reduction."""
    drawn = [objects.draw(kind, np.random.default_rng(9)) for kind in list(objects.SHAPES)[:IMAGES]]
    images = np.stack([quantised(canvas).transpose(2, 0, 1) for canvas, _ in drawn]).astype(np.float32)
    large = images.repeat(4, axis=2).repeat(4, axis=3)
    weights = area_weights(large.shape[-1], side)
    return np.rint(weights @ large @ weights.T).astype(np.uint8)


def forward(network: torch.nn.Module, x: Tensor) -> None:
    """The bare network."""
    with torch.inference_mode():
        network(x)
