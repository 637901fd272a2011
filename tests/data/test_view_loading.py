"""Views by the batch: the same from every worker, from both roads the same distribution."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from transferkit.core.errors import DataError, UnreadableImageError
from transferkit.data.arrays import from_arrays
from transferkit.data.augment import STUDY, AugmentSettings
from transferkit.data.dataset import Split
from transferkit.data.view_loading import ViewSettings, load_views

CPU = torch.device("cpu")
PLAIN = AugmentSettings(
    size=16, scale=(1.0, 1.0), ratio=(1.0, 1.0), jitter_prob=0, gray_prob=0, blur_prob=0, flip_prob=0
)


class Pictures:
    """Images of one colour and of several shapes; some cannot be read."""

    def __init__(self, *, broken: tuple[int, ...] = (), shapes: tuple[tuple[int, int], ...] = ((20, 30),)) -> None:
        self.broken, self.shapes = broken, shapes

    def image(self, row):
        if row in self.broken:
            raise UnreadableImageError("it is cut off")
        if row < 0:
            raise DataError("the folder is gone")
        return np.full((*self.shapes[row % len(self.shapes)], 3), 10 * row, np.uint8)


def split_of(reader, n: int = 12) -> Split:
    labels = np.arange(n) % 3
    return Split("test", "train", tuple(map(str, range(n))), labels, ("a", "b", "c"), "0", reader)


def settings(where: str, **changes) -> ViewSettings:
    return replace(ViewSettings(PLAIN, count=2, where=where), **changes)


def batches(*rows: list[int]) -> list[np.ndarray]:
    return [np.array(one) for one in rows]


@pytest.mark.parametrize("where", ["cpu", "device"])
@pytest.mark.parametrize("workers", [0, 2])
def test_views_come_in_order_in_one_shape(where, workers):
    found = list(
        load_views(
            split_of(Pictures(shapes=((20, 30), (9, 50)))),
            settings(where, workers=workers),
            batches([3, 1], [0, 5, 7]),
            epoch=0,
            device=CPU,
        )
    )
    assert [batch.rows.tolist() for batch in found] == [[3, 1], [0, 5, 7]]
    for batch in found:
        assert len(batch.views) == 2
        for view in batch.views:
            assert view.shape == (len(batch.rows), 3, 16, 16)
            assert view.dtype == torch.float32
            expected = torch.from_numpy(batch.rows * 10 / 255).float()[:, None, None, None]
            assert_close(view, expected.expand_as(view), rtol=0, atol=1e-5)


def drawn(where: str, *, workers: int = 0, epoch: int = 0, seed: int = 0, rows=((0, 1), (2, 3))):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 24, 24, 3), dtype=np.uint8)
    split = from_arrays(images, np.arange(12) % 3, name="noise", split="train")
    asked = ViewSettings(replace(STUDY, size=16), count=2, where=where, workers=workers, seed=seed)
    found = load_views(split, asked, map(np.array, rows), epoch=epoch, device=CPU)
    return [torch.stack(batch.views) for batch in found]


@pytest.mark.parametrize("where", ["cpu", "device"])
def test_views_depend_on_seed_epoch_and_rows_and_on_nothing_else(where):
    first = drawn(where)
    assert_close(drawn(where, workers=2), first, rtol=0, atol=0)
    assert_close(drawn(where, rows=((2, 3),)), first[1:], rtol=0, atol=0)  # what a resumed run asks for
    for other in (drawn(where, epoch=1), drawn(where, seed=1)):
        assert (other[0] - first[0]).abs().mean() > 0.05
    assert (first[0][0] - first[0][1]).abs().mean() > 0.05  # two views of the same images


def corner_statistics(where: str, height: int, width: int) -> torch.Tensor:
    """Mean and spread of the place, and of the sides, that views show of a long image.

    Red rises from left to right and green from top to bottom, so colours say where a view was cut.
    """

    class Ramp:
        def image(self, row):
            down, across = np.mgrid[0:height, 0:width]
            image = np.stack([255 * across / width, 255 * down / height, 0 * down], axis=-1)
            return image.astype(np.uint8)

    augment = AugmentSettings(size=16, jitter_prob=0, gray_prob=0, blur_prob=0, flip_prob=0)
    asked = ViewSettings(augment, count=2, where=where)
    rows = np.arange(400)
    split = split_of(Ramp(), len(rows))
    seen = torch.cat([v for b in load_views(split, asked, [rows], epoch=0, device=CPU) for v in b.views])
    across, down = seen[:, 0].mean(1), seen[:, 1].mean(2)  # [n, 16]
    middle = torch.stack([across.mean(1), down.mean(1)])
    sides = torch.stack([across[:, -1] - across[:, 0], down[:, -1] - down[:, 0]])
    both = torch.cat([middle, sides])
    return torch.cat([both.mean(1), both.std(1)])


@pytest.mark.parametrize(("height", "width"), [(60, 60), (40, 120), (150, 50)])
def test_both_roads_show_the_same_parts_of_an_image_of_any_shape(height, width):
    one, other = corner_statistics("cpu", height, width), corner_statistics("device", height, width)
    assert one.min() > 0.01
    assert_close(other, one, rtol=0, atol=0.025)


@pytest.mark.parametrize("where", ["cpu", "device"])
def test_an_unreadable_image_makes_way_for_another_of_its_batch(where):
    asked = load_views(split_of(Pictures(broken=(1, 2))), settings(where), batches([0, 1, 2, 3]), epoch=0, device=CPU)
    (batch,) = asked
    assert batch.reasons == {1: "it is cut off", 2: "it is cut off"}
    assert batch.rows.tolist() == [0, 0, 3, 3]  # so that labels are those of what is shown
    assert_close(batch.views[0][:, 0, 0, 0], torch.tensor([0, 0, 30, 30]) / 255, rtol=0, atol=1e-5)


@pytest.mark.parametrize("where", ["cpu", "device"])
def test_a_batch_without_a_readable_image_stops(where):
    asked = load_views(split_of(Pictures(broken=(1, 2))), settings(where), batches([1, 2]), epoch=0, device=CPU)
    with pytest.raises(DataError, match="None of 2 images of a batch can be read: it is cut off"):
        list(asked)


@pytest.mark.parametrize("where", ["cpu", "device"])
@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_the_data_set_is_raised(where, workers):
    asked = load_views(split_of(Pictures()), settings(where, workers=workers), batches([-1]), epoch=0, device=CPU)
    with pytest.raises(DataError, match="the folder is gone"):
        list(asked)


def test_the_thinnest_image_still_gives_views():
    """Its crop is a part of a pixel wide once it is squashed."""
    reader = Pictures(shapes=((10, 4000),))
    asked = ViewSettings(AugmentSettings(size=16), count=1, where="device")
    (batch,) = load_views(split_of(reader), asked, batches([3, 4]), epoch=0, device=CPU)
    assert batch.views[0].isfinite().all()
