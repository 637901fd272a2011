"""A network without its classifier, which pretraining trains, and its weights with a new classifier."""

from dataclasses import dataclass

from torch import Tensor, nn

from ..core.errors import ModelError
from .encoder import Encoder
from .hooks import OUTPUT
from .tracing import trace


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network without its classifier.

    Attributes:
        module: Network that maps ``[b, 3, s, s]`` to ``[b, dim]``; its parameters keep their names.
        dim: Length of its features.
        classifier: Names of the removed linear modules that a new classifier can replace; may be empty.
    """

    module: nn.Module
    dim: int
    classifier: tuple[str, ...]

    def weights(self, head: nn.Linear | None) -> dict[str, Tensor]:
        """Return the weights under the network's own names, with ``head`` in place of the classifier."""
        weights = dict(self.module.state_dict())
        if head is not None:
            for name in self.classifier:
                weights |= {f"{name}.{part}": value for part, value in head.state_dict().items()}
        return weights


def backbone_of(encoder: Encoder) -> Backbone:
    """Replace the classifier of the encoder's network by an identity, in place, and return the backbone.

    Raises: ModelError: if the rest does not return one vector per image, or has no weights to train.
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
