"""Compare the layer features that transferkit returns for a network of timm with what timm itself returns."""

from typing import Any

import torch
from torch import Tensor

from transferkit.models.catalog import load_encoder
from transferkit.models.layers import resolve_layers
from transferkit.models.pooled_outputs import pooled_outputs


def differences(name: str, size: int | None = None) -> list[str]:
    """Sentences about each layer of ``random:timm:NAME`` that is not what timm returns.

    ``last`` must be bit for bit ``forward_head(…, pre_logits=True)``, or the output of a network that never
    has a classifier; each stage must be one of ``forward_intermediates`` (by its mean over positions), and
    ``all`` must contain the stages and more.
    """
    encoder = load_encoder(f"random:timm:{name}").at(size)
    network, side = encoder.module, encoder.preprocessing.crop
    layers = [layer.name for layer in resolve_layers(encoder, ["all"], None)]
    stages = [layer.name for layer in resolve_layers(encoder, ["stages"], None)]
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = _representation(network, image).clone()
        maps = [m.clone() for m in network.forward_intermediates(image, intermediates_only=True, norm=False)]
    with pooled_outputs(encoder, stages, "avg") as outputs:
        found = outputs(image)
    same = "last" in found and torch.equal(found.pop("last"), expected)
    wrong = [] if same else [f"{name}: last is not the representation"]
    means = [_mean(m) for m in maps]
    for stage, value in found.items():
        if not any(m.shape == value.shape and torch.allclose(m, value, rtol=1e-3, atol=1e-4) for m in means):
            wrong.append(f"{name}: {stage} {list(value.shape)} is no stage")
    if not set(stages) < set(layers):
        wrong.append(f"{name}: all has no blocks beside {stages}")
    return wrong


def _representation(network: Any, image: Tensor) -> Tensor:
    """``[b, d]``."""
    if hasattr(network, "get_classifier"):
        return network.forward_head(network.forward_features(image), pre_logits=True)
    output = network(image)
    return output if output.ndim == 2 else _mean(output)


def _mean(maps: Tensor) -> Tensor:
    """``[b, d]`` of ``[b, d, h, w]`` or ``[b, t, d]``."""
    return maps.float().mean((2, 3) if maps.ndim == 4 else 1)
