"""Where parameters lie in a network: in which stage, and below which layer."""

from collections.abc import Mapping

from ..core.errors import UnknownNameError
from .encoder import Encoder
from .layers import resolve_layers
from .tracing import trace


def parameter_stages(encoder: Encoder) -> Mapping[str, int]:
    """Name of each parameter → the stage that it lies in, 0 the first.

    Stages are those that ``--layers stages`` names; what runs behind the last of them counts to a stage of
    its own, and so does a parameter of no module that runs once.
    """
    finished = [call.name for call in trace(encoder).calls]
    ends = [finished.index(layer.name) for layer in resolve_layers(encoder, ["stages"], None) if layer.name in finished]
    return {name: sum(end < place for end in ends) for name, place in _places(encoder, finished).items()}


def parameters_below(encoder: Encoder, layer: str) -> frozenset[str]:
    """Names of the parameters of modules that have finished when ``layer`` has.

    Raises: UnknownNameError: if no module of that name runs once.
    """
    (found, *_) = resolve_layers(encoder, [layer], None)
    finished = [call.name for call in trace(encoder).calls]
    if found.name not in finished:
        raise UnknownNameError(f"{layer!r} of {encoder.spec} is no module: training cannot begin behind it.")
    last = finished.index(found.name)
    return frozenset(name for name, place in _places(encoder, finished).items() if place <= last)


def _places(encoder: Encoder, finished: list[str]) -> dict[str, int]:
    """Name of each parameter → when the smallest module that holds it, and runs once, has finished."""
    order = {name: place for place, name in enumerate(finished)}
    places = {}
    for name, _ in encoder.module.named_parameters():
        holder = name
        while "." in holder:
            holder = holder.rpartition(".")[0]
            if holder in order:
                break
        places[name] = order.get(holder, len(finished))
    return places
