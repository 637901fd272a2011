"""Where a classifier begins: at zero, or at the linear probe of the cached features of the frozen network."""

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
from ...probes.logistic import logistic_path
from ..context import RunContext
from ..extract import Extractor
from ..settings import ExtractSettings

PENALTIES = tuple(np.geomspace(1e-6, 1e5, 12).tolist())
"""That are tried."""

_UNLIKELY = 10.0  # by how much the bias of a class without rows lies below the lowest of the others


@dataclass(frozen=True)
class HeadInit:
    """The first weights of a classifier. Shapes: ``c`` classes, ``d`` features.

    Attributes:
        weights: ``[c, d]``.
        biases: ``[c]``.
    """

    weights: Tensor
    biases: Tensor

    @classmethod
    def zero(cls, encoder: Encoder, n_classes: int) -> "HeadInit":
        """A classifier of the features of ``encoder`` that knows nothing."""
        dim = resolve_layers(encoder, ["last"], None)[0].dim
        return cls(torch.zeros(n_classes, dim), torch.zeros(n_classes))


@dataclass(frozen=True, eq=False)
class ProbeHeadInit:
    """Linear probes of whatever rows are trained on, with a penalty that held-out rows chose.

    Attributes:
        features: of all rows that may be fitted.
        penalty: of the probes.
    """

    features: Features
    penalty: float

    @classmethod
    def chosen(cls, features: Mapping[str, Features], train: Split, held: Split) -> "ProbeHeadInit":
        """With the penalty that is most accurate on ``held`` when ``train`` is fitted.

        Args:
            features: of each split that may be fitted, of the last layer.
            train: rows that candidates are fitted on.
            held: rows that choose.
        """
        whole = concatenate(list(features.values()), split="+".join(features))
        fitted, judged = _only(whole, train.ids), _only(whole, held.ids)
        path = logistic_path(_x(fitted), torch.from_numpy(fitted.labels), PENALTIES, len(train.classes))
        answers = (_x(judged) @ path.weights + path.biases[:, None]).argmax(2)  # [p, n]
        right = (answers == torch.from_numpy(judged.labels)).double().mean(1)
        strongest = len(PENALTIES) - 1 - int(right.flip(0).argmax())  # of equals
        return cls(whole, PENALTIES[strongest])

    def start(self, rows: Split) -> HeadInit:
        """The probe of those of ``rows`` that could be read."""
        fitted = _only(self.features, rows.ids)
        path = logistic_path(_x(fitted), torch.from_numpy(fitted.labels), [self.penalty], len(rows.classes))
        biases = path.biases[0]
        there = torch.isfinite(biases)
        return HeadInit(path.weights[0].T.contiguous(), torch.where(there, biases, biases[there].min() - _UNLIKELY))

    def accuracy(self, rows: Split, scored: Features) -> float:
        """Top-1 accuracy on ``scored`` of the probe of ``rows``: what fine-tuning starts from.

        Args:
            rows: that the probe is fitted on.
            scored: features of the same layer.
        """
        start = self.start(rows)
        answers = (_x(scored) @ start.weights.T + start.biases).argmax(1)  # [n]
        return float((answers == torch.from_numpy(scored.labels)).double().mean())


def last_features(
    encoder: Encoder, splits: Mapping[str, Split], *, device: str, context: RunContext
) -> dict[str, Features]:
    """The features of the last layer for each split, from the cache or extracted now.

    Args:
        encoder: at the size it is shown.
        splits: by name.
        device: for the forward passes.
        context: where they are kept, and who is told.
    """
    extraction = ExtractSettings(size=encoder.view.crop, device=device)
    extractor = Extractor(encoder, extraction, store=FeatureStore(context.workspace.features))
    entries = {name: extractor.open(split).run(context.reporter) for name, split in splits.items()}
    return {name: entry.features(extractor.names[-1]) for name, entry in entries.items()}


def below_start(after: float, before: float) -> str:
    """Say that fine-tuning lost accuracy, and what to do: the end of a sentence."""
    return (
        f"ended below the linear probe that it started from: {after:.3f} on test, and {before:.3f} before. "
        "Give a lower --lr, or add 0 to it: then held-out images choose between fine-tuning and the probe."
    )


def _only(features: Features, ids: Iterable[str]) -> Features:
    asked = set(ids)
    return features.rows(np.flatnonzero([one in asked for one in features.ids]))


def _x(features: Features) -> Tensor:
    return torch.from_numpy(np.asarray(features.x, np.float32))
