"""A network entered behind one of its layers: what lies below is not computed, its output is given."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .capture_outputs import captured_outputs
from .encoder import Encoder
from .ending import LAST
from .tracing import OUTPUT, trace


@dataclass(frozen=True, eq=False)
class PartialForward:
    """Where a network can be entered.

    Attributes:
        layer: name of the module whose output is given.
        skipped: outermost modules that finish before it → shape of an image's output ``[…]``.
        shape: of the layer's output for one image.
        side: pixels of the square that the network takes.
    """

    layer: str
    skipped: dict[str, tuple[int, ...]]
    shape: tuple[int, ...]
    side: int

    @contextmanager
    def entered(self, body: nn.Module, given: Tensor) -> Iterator[Tensor]:
        """While the context lasts, ``body`` takes what is yielded in place of images.

        Args:
            body: the encoder's network, or what training made of it.
            given: ``[b, n]``, the layer's output, flattened.
        """
        maps = given.reshape(-1, *self.shape)
        changed = [(body.get_submodule(self.layer), lambda *_, **__: maps)]
        for name, shape in self.skipped.items():
            changed.append((body.get_submodule(name), _nothing(maps, shape)))
        try:
            for module, forward in changed:
                module.forward = forward
            yield maps.new_zeros(1, 3, self.side, self.side).expand(len(maps), -1, -1, -1)
        finally:
            for module, _ in changed:
                del module.forward  # the class's own is there again


def partial_forward(encoder: Encoder, layer: str) -> PartialForward | None:
    """How to enter the network behind ``layer``; None where something below reaches past it.

    Args:
        encoder: in evaluation mode.
        layer: name of a module that runs once.
    """
    calls = {call.name: tuple(call.shape[1:]) for call in trace(encoder).calls if call.name != LAST}
    if layer not in calls:
        return None
    before = list(calls)[: list(calls).index(layer)]
    apart = [name for name in before if not _kin(name, layer) and name != OUTPUT]
    outermost = [name for name in apart if not any(name.startswith(f"{other}.") for other in apart)]
    found = PartialForward(layer, {name: calls[name] for name in outermost}, calls[layer], encoder.view.crop)
    images = torch.randn(2, 3, found.side, found.side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        with captured_outputs(encoder, [layer]) as outputs:
            given = outputs(images)[layer].flatten(1)
        whole = encoder.module(images)
        try:
            with found.entered(encoder.module, given) as nothing:
                same = torch.allclose(encoder.module(nothing), whole, rtol=1e-4, atol=1e-5)
        except RuntimeError:  # shapes that do not meet
            same = False
    return found if same else None


def _kin(name: str, layer: str) -> bool:
    """Whether one is inside the other."""
    return name == layer or layer.startswith(f"{name}.") or name.startswith(f"{layer}.")


def _nothing(like: Tensor, shape: tuple[int, ...]) -> Any:
    return lambda *_, **__: like.new_zeros(len(like), *shape)
