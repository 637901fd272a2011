"""A network without its classifier: what pretraining trains, and how a classifier is put back."""

from dataclasses import dataclass

from torch import Tensor, nn

from ..core.errors import ModelError
from .encoder import Encoder
from .tracing import OUTPUT, trace


@dataclass(frozen=True, eq=False)
class Backbone:
    """What pretraining trains.

    Attributes:
        module: maps ``[b, 3, s, s]`` to ``[b, dim]``; its parameters have the names they had.
        dim: length of its features.
        classifier: names of the linear modules that were taken off; empty if there was none to put back.
    """

    module: nn.Module
    dim: int
    classifier: tuple[str, ...]

    def weights(self, head: nn.Linear | None) -> dict[str, Tensor]:
        """The weights under the network's own names, with ``head`` where the classifier was."""
        held = dict(self.module.state_dict())
        if head is not None:
            for name in self.classifier:
                held |= {f"{name}.{part}": value for part, value in head.state_dict().items()}
        return held


def trunk_of(encoder: Encoder) -> Backbone:
    """The encoder's network with its classifier, if it has one, replaced by an identity, in place.

    Raises: ModelError: if what is left does not give one vector an image, or has nothing to train.
    """
    ending = trace(encoder).ending
    if ending.refused:
        raise ModelError(ending.refused)
    linear = [n for n in ending.classifier if isinstance(encoder.module.get_submodule(n), nn.Linear)]
    widths = {name: encoder.module.get_submodule(name).in_features for name in linear}
    ending.remove_classifier()
    output = next((call for call in trace(encoder).calls if call.name == OUTPUT), None)
    if output is None or len(output.shape) != 2:
        raise ModelError(
            f"{encoder.spec} does not end in one vector per image, and cannot be pretrained. "
            "Name a classification network."
        )
    if not any(parameter.requires_grad for parameter in encoder.module.parameters()):
        raise ModelError(f"{encoder.spec} has no weights to train. Name a network, such as random:resnet18.")
    dim = output.shape[1]
    return Backbone(encoder.module, dim, tuple(name for name in linear if widths[name] == dim))
