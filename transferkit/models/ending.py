"""The end of a network: its classifier, and the representation that is the classifier's input.

The representation is the layer ``last``. It depends neither on the values of the weights nor on the presence of
a classifier: timm's networks define it, in torchvision's networks it is the input of a module of known name, and
any other network is traced.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any, cast

from torch import nn

from ..core.errors import ModelError
from .hooks import OUTPUT, observed, observed_input, replaced_method

LAST = "last"

_CLASSIFIERS = ("fc", "head", "heads", "classifier")  # names of the classifier in torchvision's networks


@dataclass(eq=False)
class Ending:
    """The location of a network's representation.

    Attributes:
        module: The network.
        classifier: Names of the modules that map the representation to logits; empty without a classifier.
        entered: Name of the module whose input is the representation; empty if the representation is the network's
            output, and if the network has a ``forward_head`` that can stop before the classifier.
        refused: Reason why there is no representation; empty if there is one.
        computing: True while the representation is computed in addition to the forward pass; hooks of modules
            ignore calls then.
    """

    module: nn.Module
    classifier: tuple[str, ...] = ()
    entered: str = ""
    refused: str = ""
    computing: bool = False

    @contextmanager
    def observed(self, observe: Callable[[Any], None]) -> Iterator[None]:
        """Call ``observe`` with the representation in each forward pass while the context is active.

        Raises: ModelError: if there is no representation.
        """
        if self.refused:
            raise ModelError(self.refused)
        if self.entered:
            context: AbstractContextManager[None] = observed_input(self.module.get_submodule(self.entered), observe)
        elif stops_before_classifier(self.module):
            context = self._observed_head(observe)
        else:
            context = observed({OUTPUT: self.module}, lambda _name, _inputs, output: observe(output))
        with context:
            yield

    def remove_classifier(self) -> None:
        """Replace the classifier by identities, in place, so that the network returns the representation."""
        parts = [self.module.get_submodule(name) for name in self.classifier]
        for name in self.classifier:
            self.module.set_submodule(name, nn.Identity())
        one_linear = len(parts) == 1 and isinstance(parts[0], nn.Linear)
        if parts and not one_linear and stops_before_classifier(self.module):  # several outputs would be combined
            vars(self.module)["forward_head"] = partial(self._forward_head, pre_logits=True)
        self.classifier = ()

    @property
    def _forward_head(self) -> Callable[..., Any]:
        return cast(Callable[..., Any], self.module.forward_head)

    def _observed_head(self, observe: Callable[[Any], None]) -> AbstractContextManager[None]:
        forward_head = self._forward_head

        def observed_head(*args: Any, **options: Any) -> Any:
            self.computing = True
            try:
                representation = forward_head(*args, **{**options, "pre_logits": True})
            finally:
                self.computing = False
            observe(representation)
            return forward_head(*args, **options)

        return replaced_method(self.module, "forward_head", observed_head)


def known_ending(module: nn.Module) -> Ending | None:
    """Return the ending of a network of timm or torchvision; None for other networks, which must be traced.

    The names of the classifier of a timm network must be traced, too.
    """
    if stops_before_classifier(module) or _is_bare_encoder(module):
        return Ending(module)
    name = _torchvision_classifier(module)
    if name is None:
        return None
    has_classifier = not isinstance(module.get_submodule(name), nn.Identity)
    return Ending(module, (name,) if has_classifier else (), entered=name)


def stops_before_classifier(module: nn.Module) -> bool:
    """Return whether this is a timm network whose ``forward_head`` can return the input of the classifier."""
    if not is_from("timm", module) or _is_bare_encoder(module):
        return False
    head = getattr(module, "forward_head", None)
    return head is not None and "pre_logits" in signature(head).parameters


def _is_bare_encoder(module: nn.Module) -> bool:
    """Return whether this is a timm network that never has a classifier; its ``forward_head`` raises an error."""
    head, classifier = hasattr(module, "forward_head"), hasattr(module, "get_classifier")
    return is_from("timm", module) and head and not classifier


def is_from(library: str, module: nn.Module) -> bool:
    """Return whether the network's class or one of its base classes belongs to ``library``."""
    return any(kind.__module__.partition(".")[0] == library for kind in type(module).__mro__)


def _torchvision_classifier(module: nn.Module) -> str | None:
    """Return the name of the classifier, whose input is the representation; it may be an identity."""
    if not is_from("torchvision", module):
        return None
    if type(module).__name__ == "SqueezeNet":
        return "classifier.1"  # a convolution, before a ReLU and the pooling
    name = next((name for name in _CLASSIFIERS if isinstance(getattr(module, name, None), nn.Module)), None)
    while name and isinstance(part := module.get_submodule(name), nn.Sequential) and len(part):
        name = f"{name}.{list(dict(part.named_children()))[-1]}"
    known = name is not None and isinstance(module.get_submodule(name), nn.Linear | nn.Identity)
    return name if known else None
