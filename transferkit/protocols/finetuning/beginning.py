"""Where a classifier begins: at zero, or at the linear probe of the cached features of the frozen network."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.features import Features, concatenate
from ...data.dataset import Split
from ...models.encoder import Encoder
from ...models.layers import resolve_layers
from ...probes.logistic import logistic_path

PENALTIES = tuple(np.geomspace(1e-6, 1e5, 12).tolist())
"""That are tried."""

_UNLIKELY = 10.0  # by how much the bias of a class without rows lies below the lowest of the others


@dataclass(frozen=True)
class Start:
    """The first weights of a classifier. Shapes: ``c`` classes, ``d`` features.

    Attributes:
        weights: ``[c, d]``.
        biases: ``[c]``.
    """

    weights: Tensor
    biases: Tensor

    @classmethod
    def zero(cls, encoder: Encoder, n_classes: int) -> "Start":
        """A classifier of the features of ``encoder`` that knows nothing."""
        dim = resolve_layers(encoder, ["last"], encoder.pooling)[0].dim
        return cls(torch.zeros(n_classes, dim), torch.zeros(n_classes))


@dataclass(frozen=True, eq=False)
class ProbeStarts:
    """Linear probes of whatever rows are trained on, with a penalty that held-out rows chose.

    Attributes:
        features: of all rows that may be fitted.
        penalty: of the probes.
    """

    features: Features
    penalty: float

    @classmethod
    def chosen(cls, features: Mapping[str, Features], train: Split, held: Split) -> "ProbeStarts":
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

    def start(self, rows: Split) -> Start:
        """The probe of those of ``rows`` that could be read."""
        fitted = _only(self.features, rows.ids)
        path = logistic_path(_x(fitted), torch.from_numpy(fitted.labels), [self.penalty], len(rows.classes))
        biases = path.biases[0]
        there = torch.isfinite(biases)
        return Start(
            path.weights[0].T.contiguous(), torch.where(there, biases, biases[there].min() - _UNLIKELY)
        )


def _only(features: Features, ids: Iterable[str]) -> Features:
    asked = set(ids)
    return features.rows(np.flatnonzero([one in asked for one in features.ids]))


def _x(features: Features) -> Tensor:
    return torch.from_numpy(np.asarray(features.x, np.float32))
