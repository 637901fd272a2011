"""Initial weights of a classifier: zero, or the linear probe of the frozen network's cached features."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...cache.store import FeatureStore
from ...core.features import Features, concatenate
from ...data.dataset import Split
from ...models.encoder import Encoder
from ...models.layers import resolve_layers
from ...probes.solvers.logistic import logistic_path
from ..context import RunContext
from ..extract import Extractor
from ..settings import ExtractSettings

PENALTIES = tuple(np.geomspace(1e-6, 1e5, 12).tolist())
"""L2 penalties to compare."""

_EMPTY_CLASS_MARGIN = 10.0  # a class without rows gets the lowest bias of all other classes minus this


@dataclass(frozen=True)
class HeadInit:
    """Initial weights of a classifier. Shapes: ``c`` classes, ``d`` features.

    Attributes:
        weights: weights ``[c, d]``.
        biases: biases ``[c]``.
    """

    weights: Tensor
    biases: Tensor

    @classmethod
    def zero(cls, encoder: Encoder, n_classes: int) -> "HeadInit":
        """Return zero weights for a classifier of the features of ``encoder``."""
        dim = resolve_layers(encoder, ["last"], None)[0].dim
        return cls(torch.zeros(n_classes, dim), torch.zeros(n_classes))


@dataclass(frozen=True, eq=False)
class ProbeHeadInit:
    """Initial weights from linear probes, with an L2 penalty selected on held-out rows.

    Attributes:
        features: features of all rows except test.
        penalty: L2 penalty of the probes.
    """

    features: Features
    penalty: float

    @classmethod
    def chosen(cls, features: Mapping[str, Features], train: Split, held_out: Split) -> "ProbeHeadInit":
        """Select the penalty with the highest accuracy on ``held_out`` after fitting on ``train``.

        Args:
            features: features of the last layer for each split except test.
            train: rows to fit.
            held_out: rows to score.
        """
        whole = concatenate(list(features.values()), split="+".join(features))
        fitted, scored = _only(whole, train.ids), _only(whole, held_out.ids)
        path = logistic_path(_tensor(fitted), torch.from_numpy(fitted.labels), PENALTIES, len(train.classes))
        predictions = (_tensor(scored) @ path.weights + path.biases[:, None]).argmax(2)  # [p, n]
        accuracy = (predictions == torch.from_numpy(scored.labels)).double().mean(1)  # [p]
        best = len(PENALTIES) - 1 - int(accuracy.flip(0).argmax())  # of equals the strongest penalty
        return cls(whole, PENALTIES[best])

    def head_init(self, rows: Split) -> HeadInit:
        """Return the weights of the probe fitted on the readable rows of ``rows``."""
        fitted = _only(self.features, rows.ids)
        path = logistic_path(_tensor(fitted), torch.from_numpy(fitted.labels), [self.penalty], len(rows.classes))
        biases = path.biases[0]  # [c]
        finite = torch.isfinite(biases)  # False for classes without rows
        biases = torch.where(finite, biases, biases[finite].min() - _EMPTY_CLASS_MARGIN)
        return HeadInit(path.weights[0].T.contiguous(), biases)

    def accuracy(self, rows: Split, scored: Features) -> float:
        """Return the top-1 accuracy on ``scored`` of the probe fitted on ``rows``, from which fine-tuning starts.

        Args:
            rows: rows to fit the probe on.
            scored: features of the same layer to score.
        """
        init = self.head_init(rows)
        predictions = (_tensor(scored) @ init.weights.T + init.biases).argmax(1)  # [n]
        return float((predictions == torch.from_numpy(scored.labels)).double().mean())


def last_features(
    encoder: Encoder, splits: Mapping[str, Split], *, device: str, context: RunContext
) -> dict[str, Features]:
    """Return the features of the last layer for each split, from the cache or newly extracted.

    Args:
        encoder: encoder at its input size.
        splits: splits by name.
        device: device of the forward passes.
        context: workspace with the feature cache, and reporter.
    """
    extraction = ExtractSettings(size=encoder.preprocessing.crop, device=device)
    extractor = Extractor(encoder, extraction, store=FeatureStore(context.workspace.features))
    entries = {name: extractor.open(split).run(context.reporter) for name, split in splits.items()}
    return {name: entry.features(extractor.names[-1]) for name, entry in entries.items()}


def accuracy_drop_note(after: float, before: float) -> str:
    """Return the end of a note that fine-tuning lost accuracy, with what to do."""
    return (
        f"ended below the linear probe that it started from: {after:.3f} on test, after {before:.3f} for the "
        "probe. Lower --lr, or add 0 to its values: held-out images then select fine-tuning or the probe."
    )


def _only(features: Features, ids: Iterable[str]) -> Features:
    wanted = set(ids)
    return features.rows(np.flatnonzero([image_id in wanted for image_id in features.ids]))


def _tensor(features: Features) -> Tensor:
    return torch.from_numpy(np.asarray(features.x, np.float32))
