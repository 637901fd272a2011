"""A network with a new classifier: how it begins, what of it is trained, and how fast."""

import re
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import ModelError
from ...models.backbone import Backbone, trunk_of
from ...models.encoder import Encoder
from ...models.parameter_groups import parameter_stages, parameters_below
from ...models.pointwise_conv import pointwise_conv
from .head_init import HeadInit
from .settings import FinetuneSettings, Setting

_NORMALISATIONS = nn.modules.batchnorm._BatchNorm


class FinetuneNetwork(nn.Module):
    """A trunk, perhaps a batch normalisation, and a classifier.

    Args:
        encoder: its network is changed: the classifier is taken off, and what is frozen gets no gradient.
        settings: say what is trained.
        start: where the classifier begins.

    Raises:
        ModelError: if the network does not end in one vector an image, or nothing is left to train.
        UnknownNameError: if ``train_from`` names no layer.
    """

    def __init__(self, encoder: Encoder, settings: FinetuneSettings, start: HeadInit) -> None:
        super().__init__()
        stages = parameter_stages(encoder)
        frozen = parameters_below(encoder, settings.train_from) if settings.train_from else frozenset()
        self.backbone: Backbone = trunk_of(encoder)
        self.body = self.backbone.module
        if start.weights.shape[1] != self.backbone.dim:
            raise ModelError(
                f"{encoder.spec} ends in {self.backbone.dim} features, not {start.weights.shape[1]}: use --head zero."
            )
        pointwise_conv(self.body)
        self.norm = nn.BatchNorm1d(self.backbone.dim) if settings.batch_norm else nn.Identity()
        self.head = nn.Linear(self.backbone.dim, len(start.biases))
        with torch.no_grad():
            self.head.weight.copy_(start.weights)
            self.head.bias.copy_(start.biases)
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(name not in frozen)
        self._frozen = frozen
        self._updates_bn_stats = settings.bn_stats == "update"
        self._stages = stages
        self._decay = settings.layer_decay

    def forward(self, images: Tensor) -> Tensor:
        """``[b, 3, s, s]`` normalised to logits ``[b, c]``."""
        return self.head(self.norm(self.body(images)))

    def classifier(self) -> nn.Linear:
        """The classifier of the body's features as they are: with the batch normalisation, if there is one.

        What the normalisation does to features ``x`` in evaluation is linear, so that
        ``W (γ (x − μ)/σ + β) + b = W' x + b'`` where ``W' = W diag(γ/σ)`` and ``b' = b + W β − W' μ``.
        """
        if not isinstance(self.norm, nn.BatchNorm1d):
            return self.head
        state = {name: value.double() for name, value in self.norm.state_dict().items()}
        weights, biases = self.head.weight.double(), self.head.bias.double()
        scaled = weights * state["weight"] / (state["running_var"] + self.norm.eps).sqrt()  # [c, d]
        whole = nn.Linear(self.head.in_features, self.head.out_features, device=weights.device)
        with torch.no_grad():
            whole.weight.copy_(scaled)
            whole.bias.copy_(biases + weights @ state["bias"] - scaled @ state["running_mean"])
        return whole

    def train(self, mode: bool = True) -> "FinetuneNetwork":
        """As usual; frozen statistics stay as they are."""
        super().train(mode)
        for name, part in self.body.named_modules():
            if isinstance(part, _NORMALISATIONS) and (not self._updates_bn_stats or self._is_frozen(name)):
                part.eval()
        return self

    def _is_frozen(self, module: str) -> bool:
        own = re.compile(re.escape(module) + r"\.[^.]+")
        return any(own.fullmatch(name) for name in self._frozen)

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """Parameters by learning rate: the head at ``lr``, each stage below by ``layer_decay`` less."""
        by_stage: dict[int, list[nn.Parameter]] = {}
        for name, parameter in self.body.named_parameters():
            if parameter.requires_grad:
                by_stage.setdefault(self._stages[name], []).append(parameter)
        top = max(by_stage, default=0) + 1  # where the classifier stands now
        head = [*self.norm.parameters(), *self.head.parameters()]
        groups = [{"params": head, "lr": lr, "scale": 1.0}]
        for stage, parameters in sorted(by_stage.items(), reverse=True):
            scale = self._decay ** (top - stage)
            groups.append({"params": parameters, "lr": lr * scale, "scale": scale})
        return groups


def build_optimizer(network: FinetuneNetwork, setting: Setting, settings: FinetuneSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings name, with the rates and the decay of one place of the grid."""
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
