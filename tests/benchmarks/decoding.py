"""Decoding and framing 2 000 JPEGs of 500×375 with two workers, against torchvision's loop and Pillow's."""

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2 import functional as transforms

from tests.benchmarks.timing import median_ratio
from transferkit.core.preprocessing import Preprocessing
from transferkit.data.dataset import Split
from transferkit.data.decoding import decode
from transferkit.data.loading import load_batches

IMAGES = 2000
WIDTH, HEIGHT = 500, 375
BATCH = 50
WORKERS = 2
REPEATS = 3
VIEW = Preprocessing(interpolation="bilinear")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        paths = photographs(Path(folder))
        print(f"{IMAGES} JPEGs of {WIDTH}×{HEIGHT} to squares of {VIEW.crop}, {WORKERS} workers")
        for title, square in (("torchvision", torchvision_square), ("Pillow", pillow_square)):
            ratio = median_ratio(lambda: ours(paths), lambda s=square: plain(paths, s), repeats=REPEATS)
            rates = f"{IMAGES / ratio.subject_seconds:.0f} and {IMAGES / ratio.against_seconds:.0f} images/s"
            print(f"{'against ' + title:34} {ratio}  {rates}")


def photographs(folder: Path) -> list[Path]:
    """Pieces of photographs, enlarged, at quality 90."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    whole = [data.astronaut(), data.coffee(), data.chelsea(), *load_sample_images().images]
    rng = np.random.default_rng(0)
    paths = []
    for number in range(IMAGES):
        image = Image.fromarray(whole[number % len(whole)])
        width = int(rng.integers(200, 400))
        left, top = (int(rng.integers(room)) for room in (image.width - width, image.height - width * 3 // 4))
        piece = image.resize((WIDTH, HEIGHT), box=(left, top, left + width, top + width * 3 // 4))
        paths.append(folder / f"{number:04d}.jpg")
        piece.save(paths[-1], quality=90)
    return paths


@dataclass(frozen=True)
class Files:
    """Decodes files as the readers of this package do."""

    paths: Sequence[Path]

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode the image of a row, as ``Reader.image`` does."""
        return decode(self.paths[row])


def ours(paths: Sequence[Path]) -> None:
    """The loader that extraction uses."""
    split = Split("files", "train", tuple(map(str, paths)), np.zeros(len(paths), np.int64), ("a",), "", Files(paths))
    for _ in load_batches(split, VIEW, batches(len(paths)), workers=WORKERS):
        pass


def batches(n: int) -> Iterator[NDArray[np.int64]]:
    """Yield rows in batches."""
    yield from np.array_split(np.arange(n), n // BATCH)


def torchvision_square(path: Path) -> torch.Tensor:
    """Decode and crop an image as torchvision's documentation does."""
    image = decode_jpeg(read_file(str(path)), mode=ImageReadMode.RGB)
    return transforms.center_crop(transforms.resize(image, [VIEW.resize], antialias=True), [VIEW.crop])


def pillow_square(path: Path) -> torch.Tensor:
    """Decode and crop an image as most training scripts do."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        resized = transforms.resize(image.convert("RGB"), [VIEW.resize])
        return transforms.pil_to_tensor(transforms.center_crop(resized, [VIEW.crop]))


@dataclass(frozen=True)
class Squares(torch.utils.data.Dataset):
    """Data set in which each item is one square."""

    paths: Sequence[Path]
    square: Callable[[Path], torch.Tensor]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.square(self.paths[row])


def plain(paths: Sequence[Path], square: Callable[[Path], torch.Tensor]) -> None:
    """Torch's loader over ``square``, with as many workers."""
    for _ in DataLoader(Squares(paths, square), batch_size=BATCH, num_workers=WORKERS):
        pass
