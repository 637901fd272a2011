"""A network with a new classifier: its initialisation, its frozen layers and its learning rates."""

import re
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import ModelError
from ...models.backbone import Backbone, backbone_of
from ...models.encoder import Encoder
from ...models.parameter_groups import parameter_stages, parameters_below
from ...models.pointwise_conv import pointwise_conv
from .head_init import HeadInit
from .settings import FinetuneSettings, GridPoint

_NORMALISATIONS = nn.modules.batchnorm._BatchNorm


class FinetuneNetwork(nn.Module):
    """A backbone, batch normalisation if the settings ask for it, and a classifier.

    Args:
        encoder: encoder whose network is changed: its classifier is removed, and frozen layers get no gradient.
        settings: settings with the frozen layers and the layers to add.
        head_init: initial weights of the classifier.

    Raises:
        ModelError: if the network does not end in one vector per image, or no layer is left to train.
        UnknownNameError: if ``freeze_through`` names no layer.
    """

    def __init__(self, encoder: Encoder, settings: FinetuneSettings, head_init: HeadInit) -> None:
        super().__init__()
        stages = parameter_stages(encoder)
        frozen = parameters_below(encoder, settings.freeze_through) if settings.freeze_through else frozenset()
        self.backbone: Backbone = backbone_of(encoder)
        self.body = self.backbone.module
        if head_init.weights.shape[1] != self.backbone.dim:
            raise ModelError(
                f"{encoder.spec} ends in {self.backbone.dim} features, but the probe of its cached features has "
                f"{head_init.weights.shape[1]}. Use --head zero."
            )
        pointwise_conv(self.body)
        self.norm = nn.BatchNorm1d(self.backbone.dim) if settings.batch_norm else nn.Identity()
        self.head = nn.Linear(self.backbone.dim, len(head_init.biases))
        with torch.no_grad():
            self.head.weight.copy_(head_init.weights)
            self.head.bias.copy_(head_init.biases)
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(name not in frozen)
        self._frozen = frozen
        self._updates_bn_stats = settings.bn_stats == "update"
        self._stages = stages
        self._decay = settings.layer_decay

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[b, c]`` for normalised images ``[b, 3, s, s]``."""
        return self.head(self.norm(self.body(images)))

    def classifier(self) -> nn.Linear:
        """Return the classifier of the backbone's features, with batch normalisation folded in.

        In evaluation, batch normalisation with scale ``γ``, shift ``β``, running mean ``μ`` and standard
        deviation ``σ`` is linear in features ``x``, so that ``W (γ (x − μ)/σ + β) + b = W' x + b'`` with
        ``W' = W diag(γ/σ)`` and ``b' = b + W β − W' μ``.
        """
        if not isinstance(self.norm, nn.BatchNorm1d):
            return self.head
        state = {name: value.double() for name, value in self.norm.state_dict().items()}
        weights, biases = self.head.weight.double(), self.head.bias.double()
        scaled = weights * state["weight"] / (state["running_var"] + self.norm.eps).sqrt()  # W' [c, d]
        folded = nn.Linear(self.head.in_features, self.head.out_features, device=weights.device)
        with torch.no_grad():
            folded.weight.copy_(scaled)
            folded.bias.copy_(biases + weights @ state["bias"] - scaled @ state["running_mean"])  # b' [c]
        return folded

    def train(self, mode: bool = True) -> "FinetuneNetwork":
        """Set the training mode, but keep batch normalisation with frozen statistics in evaluation mode."""
        super().train(mode)
        for name, module in self.body.named_modules():
            if isinstance(module, _NORMALISATIONS) and (not self._updates_bn_stats or self._is_frozen(name)):
                module.eval()
        return self

    def _is_frozen(self, module: str) -> bool:
        own = re.compile(re.escape(module) + r"\.[^.]+")
        return any(own.fullmatch(name) for name in self._frozen)

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """Return parameter groups: the head at ``lr``, and each earlier stage at ``layer_decay`` times the next."""
        by_stage: dict[int, list[nn.Parameter]] = {}
        for name, parameter in self.body.named_parameters():
            if parameter.requires_grad:
                by_stage.setdefault(self._stages[name], []).append(parameter)
        top = max(by_stage, default=0) + 1  # stage of the classifier
        head = [*self.norm.parameters(), *self.head.parameters()]
        groups = [{"params": head, "lr": lr, "scale": 1.0}]
        for stage, parameters in sorted(by_stage.items(), reverse=True):
            scale = self._decay ** (top - stage)
            groups.append({"params": parameters, "lr": lr * scale, "scale": scale})
        return groups


def build_optimizer(network: FinetuneNetwork, setting: GridPoint, settings: FinetuneSettings) -> torch.optim.Optimizer:
    """Return the optimizer of the settings, with the learning rate and weight decay of one point of the grid."""
    groups = network.groups(setting.lr)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=setting.lr, weight_decay=setting.weight_decay)
    return torch.optim.SGD(
        groups,
        lr=setting.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov and settings.momentum > 0,
        weight_decay=setting.weight_decay,
    )
