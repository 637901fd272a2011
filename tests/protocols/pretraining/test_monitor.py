"""The k-NN monitor against scikit-learn's neighbours on the same features."""

import numpy as np
import torch
from torch import nn

from transferkit.core.devices import Compute
from transferkit.core.errors import UnreadableImageError
from transferkit.core.preprocessing import Preprocessing
from transferkit.data.arrays import from_arrays
from transferkit.data.dataset import Split
from transferkit.data.resize_and_crop import normalised
from transferkit.protocols.pretraining.monitor import Monitor

VIEW = Preprocessing(resize=16, crop=16)


def split_of(name: str, n: int, seed: int) -> Split:
    """Noise around the colour of a class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    colours = np.array([[120, 110, 120], [130, 110, 110], [110, 130, 120]])[labels]
    noise = rng.normal(0, 60, (n, 16, 16, 3))
    images = (colours[:, None, None] + noise).clip(0, 255).astype(np.uint8)
    return from_arrays(images, labels, name="colours", split=name)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()


def test_it_is_the_weighted_vote_of_twenty_neighbours():
    from sklearn.neighbors import KNeighborsClassifier

    train, val = split_of("train", 300, 0), split_of("val", 80, 1)
    module = network()
    accuracy = Monitor(train, val, VIEW, Compute(torch.device("cpu"), "fp32")).accuracy(module)
    assert module.training  # as it was

    def features(split: Split) -> np.ndarray:
        images = np.stack([split.reader.image(row) for row in range(len(split))]).transpose(0, 3, 1, 2)
        with torch.inference_mode():
            rows = module(normalised(torch.from_numpy(images.copy()), VIEW))
        return nn.functional.normalize(rows, dim=1).numpy()

    votes = KNeighborsClassifier(20, weights=lambda distance: np.exp((1 - distance**2 / 2) / 0.07))
    theirs = votes.fit(features(train), train.labels).score(features(val), val.labels)
    assert abs(accuracy - theirs) <= 1 / 80  # one query may be tied
    assert 0.4 < accuracy < 1


def test_images_that_cannot_be_read_are_left_out():
    class Broken:
        def __init__(self, reader):
            self.reader = reader

        def image(self, row):
            if row % 7 == 0:
                raise UnreadableImageError("it is cut off")
            return self.reader.image(row)

    train, val = split_of("train", 200, 0), split_of("val", 60, 1)
    compute = Compute(torch.device("cpu"), "fp32")
    broken = [
        Split(s.dataset, s.name, s.ids, s.labels, s.classes, s.fingerprint, Broken(s.reader)) for s in (train, val)
    ]
    rest = [np.flatnonzero(np.arange(len(s)) % 7) for s in (train, val)]
    kept = [
        from_arrays(np.stack([s.reader.image(row) for row in rows]), s.labels[rows], name="colours", split=s.name)
        for s, rows in zip((train, val), rest, strict=True)
    ]
    module = network()
    assert Monitor(*broken, VIEW, compute).accuracy(module) == Monitor(*kept, VIEW, compute).accuracy(module)


def test_of_a_large_set_an_even_selection_is_used(monkeypatch):
    from transferkit.protocols.pretraining import monitor

    monkeypatch.setattr(monitor, "_BANK", 10)
    asked = []
    train = split_of("train", 100, 0)
    load = monitor.load_batches

    def watch(split, view, batches, *, workers):
        asked.append((split.name, np.concatenate(batches).tolist()))
        return load(split, view, batches, workers=workers)

    monkeypatch.setattr(monitor, "load_batches", watch)
    Monitor(train, split_of("val", 20, 1), VIEW, Compute(torch.device("cpu"), "fp32")).accuracy(network())
    assert asked[0] == ("train", [0, 11, 22, 33, 44, 55, 66, 77, 88, 99])
    assert asked[1] == ("val", list(range(20)))
