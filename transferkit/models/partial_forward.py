"""A forward pass that starts after one of the layers: the layer's output is given, and earlier layers do not run."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .encoder import Encoder
from .ending import LAST
from .hooks import OUTPUT, captured_outputs, replaced_method
from .tracing import trace


@dataclass(frozen=True, eq=False)
class PartialForward:
    """A layer after which the forward pass of a network can start.

    Attributes:
        layer: Name of the module whose output is given.
        skipped: Outermost modules that finish before it → shape of their output for one image.
        shape: Shape of the layer's output for one image.
        side: Pixels per side of the network's input images.
    """

    layer: str
    skipped: dict[str, tuple[int, ...]]
    shape: tuple[int, ...]
    side: int

    @contextmanager
    def entered(self, body: nn.Module, given: Tensor) -> Iterator[Tensor]:
        """Let ``body`` continue from ``given`` while the context is active; its input is the yielded placeholder.

        Args:
            body: the encoder's network, or its trained version.
            given: ``[b, n]`` flattened outputs of the layer.
        """
        maps = given.reshape(-1, *self.shape)
        forwards = {self.layer: lambda *_, **__: maps}
        forwards.update({name: _zeros(maps, shape) for name, shape in self.skipped.items()})
        with ExitStack() as replaced:
            for name, forward in forwards.items():
                replaced.enter_context(replaced_method(body.get_submodule(name), "forward", forward))
            yield maps.new_zeros(1, 3, self.side, self.side).expand(len(maps), -1, -1, -1)


def partial_forward(encoder: Encoder, layer: str) -> PartialForward | None:
    """Return the partial forward pass after ``layer``, or None if later layers use outputs of earlier ones.

    Args:
        encoder: an encoder in evaluation mode.
        layer: name of a module that runs once.
    """
    calls = {call.name: tuple(call.shape[1:]) for call in trace(encoder).calls if call.name != LAST}
    if layer not in calls:
        return None
    before = list(calls)[: list(calls).index(layer)]
    separate = [name for name in before if not _is_nested(name, layer) and name != OUTPUT]
    outermost = [name for name in separate if not any(name.startswith(f"{other}.") for other in separate)]
    found = PartialForward(layer, {name: calls[name] for name in outermost}, calls[layer], encoder.preprocessing.crop)
    images = torch.randn(2, 3, found.side, found.side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        with captured_outputs(encoder.module, [layer]) as outputs:
            given = outputs(images)[layer].flatten(1)
        whole = encoder.module(images)
        try:
            with found.entered(encoder.module, given) as placeholder:
                same = torch.allclose(encoder.module(placeholder), whole, rtol=1e-4, atol=1e-5)
        except RuntimeError:  # shapes do not match
            same = False
    return found if same else None


def _is_nested(name: str, layer: str) -> bool:
    """Return whether one module is inside the other."""
    return name == layer or layer.startswith(f"{name}.") or name.startswith(f"{layer}.")


def _zeros(like: Tensor, shape: tuple[int, ...]) -> Any:
    return lambda *_, **__: like.new_zeros(len(like), *shape)
