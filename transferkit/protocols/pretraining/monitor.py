"""Evaluation of the network during training, by a k-NN classifier on held-out images."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...core.devices import Compute
from ...core.errors import DataError
from ...core.preprocessing import Preprocessing
from ...data.dataset import Split
from ...data.loading import load_batches
from ...data.resize_and_crop import normalised
from ...probes.knn import knn_scores

_BANK = 2000  # maximum number of training images that vote
_QUERIES = 1000  # maximum number of held-out images
_BATCH = 250
_NEIGHBOURS = 20
_TEMPERATURE = 0.07


@dataclass(frozen=True, eq=False)
class Monitor:
    """k-NN classifier (k = 20) with training images as neighbours, scored on held-out images of the same data set.

    Attributes:
        train, held_out: the two splits; of large ones a fixed, evenly spaced selection.
        preprocessing: preprocessing of the images.
        compute: device and precision.
        workers: number of data-loading processes.
    """

    train: Split
    held_out: Split
    preprocessing: Preprocessing
    compute: Compute
    workers: int = 0

    def accuracy(self, network: nn.Module) -> float:
        """Return the accuracy on held-out images; the network's training mode is restored.

        Raises: DataError: if no image of a split can be read.
        """
        was_training = network.training
        network.eval()
        try:
            bank, bank_labels = self._features(network, self.train, _BANK)
            queries, labels = self._features(network, self.held_out, _QUERIES)
        finally:
            network.train(was_training)
        k, c = min(_NEIGHBOURS, len(bank)), len(self.train.classes)
        scores = knn_scores(queries, bank, bank_labels, k=k, temperature=_TEMPERATURE, n_classes=c)  # [q, c]
        return float((np.asarray(scores).argmax(1) == labels).mean())

    def _features(self, network: nn.Module, split: Split, most: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return features ``[n, d]`` of unit length and labels ``[n]`` of the readable images."""
        rows = np.linspace(0, len(split) - 1, min(most, len(split))).astype(np.int64)
        batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
        parts, read = [], []
        for batch in load_batches(split, self.preprocessing, batches, workers=self.workers):
            good = np.array([row not in batch.reasons for row in batch.rows.tolist()])
            read.append(batch.rows[good])
            if not good.any():
                continue
            images = normalised(batch.images[good].to(self.compute.device), self.preprocessing)
            with torch.inference_mode(), self.compute.autocast():
                parts.append(network(images).float().cpu())
        if not sum(map(len, read)):
            raise DataError(
                f"None of the {split.name} images of {split.dataset} that the monitor uses can be read. "
                "Repair or remove them."
            )
        features = torch.nn.functional.normalize(torch.cat(parts), dim=1).numpy()
        return features, split.labels[np.concatenate(read)]
