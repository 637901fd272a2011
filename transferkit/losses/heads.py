"""Heads between the encoder and a loss, which are discarded after pretraining."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

HeadKind = Literal["classifier", "projection"]


class ProjectionHead(nn.Module):
    """Two linear layers with a ReLU between them and L2 normalisation; the hidden layer has the input's width.

    Args:
        dim: length of the encoder's features.
        projection_dim: length of the output.
    """

    def __init__(self, dim: int, projection_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, projection_dim))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[n, dim]`` to unit vectors ``[n, projection_dim]``, in float32 even under autocast."""
        projected = self.layers(features)
        return F.normalize(projected.to(self.layers[0].weight.dtype), dim=1)


def build_head(kind: HeadKind, dim: int, *, projection_dim: int, n_classes: int) -> nn.Module:
    """Build a new head on features of length ``dim``, with weights from torch's default generator."""
    return nn.Linear(dim, n_classes) if kind == "classifier" else ProjectionHead(dim, projection_dim)
