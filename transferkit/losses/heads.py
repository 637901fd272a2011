"""What stands between the encoder and a loss, and is thrown away after pretraining."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

HeadKind = Literal["classifier", "projection"]


class ProjectionHead(nn.Module):
    """Two linear layers with a ReLU between them, then unit length; the hidden layer is as wide as the input.

    Args:
        dim: length of the encoder's features.
        projection_dim: length of the output.
    """

    def __init__(self, dim: int, projection_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, projection_dim))

    def forward(self, features: Tensor) -> Tensor:
        """``[n, dim]`` to ``[n, projection_dim]``, float32 also under autocast."""
        projected = self.layers(features)
        return F.normalize(projected.to(self.layers[0].weight.dtype), dim=1)


def build_head(kind: HeadKind, dim: int, *, projection_dim: int, n_classes: int) -> nn.Module:
    """A fresh head on features of length ``dim``; its weights are drawn from torch's generator."""
    return nn.Linear(dim, n_classes) if kind == "classifier" else ProjectionHead(dim, projection_dim)
