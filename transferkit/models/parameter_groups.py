"""Groups of a network's parameters: by stage, and below a layer."""

from collections.abc import Mapping

from ..core.errors import UnknownNameError
from .encoder import Encoder
from .layers import resolve_layers
from .tracing import trace


def parameter_stages(encoder: Encoder) -> Mapping[str, int]:
    """Return name of each parameter → index of its stage, starting at 0.

    Stages are those of ``--layers stages``; parameters after the last stage, and parameters outside modules that
    run once, belong to one more stage.
    """
    finished = [call.name for call in trace(encoder).calls]
    ends = [finished.index(layer.name) for layer in resolve_layers(encoder, ["stages"], None) if layer.name in finished]
    return {name: sum(end < index for end in ends) for name, index in _finish_order(encoder, finished).items()}


def parameters_below(encoder: Encoder, layer: str) -> frozenset[str]:
    """Return the names of the parameters of ``layer`` and of modules that finish before it.

    Raises: UnknownNameError: if no module of that name runs once.
    """
    (found, *_) = resolve_layers(encoder, [layer], None)
    finished = [call.name for call in trace(encoder).calls]
    if found.name not in finished:
        raise UnknownNameError(
            f"{layer!r} of {encoder.spec} does not run exactly once: training cannot start there. Name another layer."
        )
    last = finished.index(found.name)
    return frozenset(name for name, index in _finish_order(encoder, finished).items() if index <= last)


def _finish_order(encoder: Encoder, finished: list[str]) -> dict[str, int]:
    """Return name of each parameter → index in ``finished`` of the smallest module around it that runs once."""
    order = {name: index for index, name in enumerate(finished)}
    indices = {}
    for name, _ in encoder.module.named_parameters():
        holder = name
        while "." in holder:
            holder = holder.rpartition(".")[0]
            if holder in order:
                break
        indices[name] = order.get(holder, len(finished))
    return indices
