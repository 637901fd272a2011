"""The places in an encoder that can be tapped, and how a choice of them is spelled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from ..core.errors import ModelError
from ..core.registry import unknown_name
from .encoder import Encoder
from .pooling import Form, Kind, require_fit
from .tracing import OUTPUT, Call, Trace, named_modules, trace

_FEWEST_STAGES = 3  # of maps; fewer resolutions do not divide a network
_TOKEN_STAGES = 4
_BLOCK_WEIGHTS = 3  # modules with weights in a block: a convolution and its normalisation alone are none


@dataclass(frozen=True)
class Layer:
    """A named place in an encoder.

    Attributes:
        name: of the module; ``output`` is the network's own, ``NAME.input`` what enters its classifier.
        kind: ``map``, ``tokens`` or ``vector``.
        shape: of one image's output.
        dim: features an image; pooled by ``resolve_layers``, before pooling by ``list_layers``.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    dim: int


def list_layers(encoder: Encoder) -> tuple[Layer, ...]:
    """All layers of the encoder, in the order in which they finish.

    A layer is a module that runs exactly once in a forward pass and returns a tensor (or a tuple that
    holds one) with a map, tokens or a vector for each image.
    """
    return tuple(_layer(call, _dim(call)) for call in trace(encoder).calls)


def resolve_layers(encoder: Encoder, choice: Sequence[str], pooling: str) -> tuple[Layer, ...]:
    """The layers that a choice names, without repetition, in the order in which they finish.

    ``last`` is the representation that enters the classifier, already one vector in most networks;
    ``stages`` are the ends of the stages and ``last``; ``all`` adds every block. Anything else is a
    pattern over whole module names, in which ``*``, ``?`` and ``[…]`` do not cross dots: ``layer*`` means
    ``layer1`` to ``layer4``, ``blocks.[369]`` three blocks.

    Raises:
        UnknownNameError: for a pattern that matches nothing, or a pooling that does not exist.
        ModelError: for a module that cannot be tapped, or a pooling that does not fit a chosen layer.
    """
    seen = trace(encoder)
    chosen = {name for pattern in choice for name in _named(pattern, seen, encoder.module)}
    return tuple(_pooled(call, pooling) for call in seen.calls if call.name in chosen)


def _form(call: Call) -> Form:
    if call.form is None:
        raise ValueError(f"{call.name} has no form.")
    return call.form


def _dim(call: Call) -> int:
    return call.shape[_form(call).axis]


def _layer(call: Call, dim: int) -> Layer:
    return Layer(call.name, _form(call).kind, tuple(call.shape[1:]), dim)


def _pooled(call: Call, pooling: str) -> Layer:
    require_fit(call.name, _form(call), pooling)
    return _layer(call, _form(call).width(call.shape, pooling))


def _named(pattern: str, seen: Trace, module: nn.Module) -> list[str]:
    if pattern == "last":
        return [seen.last]
    if pattern == "stages":
        return [*_stages(seen, module), seen.last]
    if pattern == "all":
        blocks = _blocks(module)
        return [*_stages(seen, module), *(c.name for c in seen.calls if c.name in blocks), seen.last]
    names = [call.name for call in seen.calls]
    if found := [name for name in names if _matches(name, pattern)]:
        return found
    if pattern in seen.refused:
        raise ModelError(f"Layer {pattern!r} cannot be tapped: it {seen.refused[pattern]} in a forward pass.")
    raise unknown_name(
        "layer", pattern, ["last", "stages", "all", *get_close_matches(pattern, names, n=5, cutoff=0.0)]
    )


def _matches(name: str, pattern: str) -> bool:
    """Whether each part between dots matches its own part of the pattern.

    >>> _matches("layer1", "layer*"), _matches("layer1.0", "layer*"), _matches("blocks.6", "blocks.[369]")
    (True, False, True)
    """
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _stages(seen: Trace, module: nn.Module) -> list[str]:
    """A handful of names: where each resolution of the maps ends, or evenly spaced blocks of tokens."""
    blocks = _blocks(module)
    ran = [call for call in seen.calls if call.name in blocks]
    tokens = [call.name for call in ran if _form(call).kind == "tokens"]
    if 2 * len(tokens) > len(ran):
        return _evenly(tokens, _TOKEN_STAGES)
    maps = [call for call in seen.calls if _form(call).kind == "map" and call.name != OUTPUT]
    spine = [call for call in maps if not _inside(call.name, blocks)]
    modules = named_modules(module)
    composed = _ends([call for call in spine if _is_composed(modules[call.name])])
    return composed if len(composed) >= _FEWEST_STAGES else _ends(spine)


def _ends(spine: list[Call]) -> list[str]:
    """For each resolution the last module at it that does not hold modules of another resolution."""
    side = {call.name: call.shape[2] for call in spine}  # a side of the map wherever the features stand

    def spans(name: str) -> bool:
        return any(inner.startswith(f"{name}.") and side[inner] != side[name] for inner in side)

    return list({side[name]: name for name in side if not spans(name)}.values())


def _evenly(names: list[str], count: int) -> list[str]:
    """The last name of each of ``count`` equal parts.

    >>> _evenly(list("abcdefgh"), 4), _evenly(list("ab"), 4)
    (['b', 'd', 'f', 'h'], ['a', 'b'])
    """
    count = min(count, len(names))
    return [names[len(names) * (part + 1) // count - 1] for part in range(count)]


def _inside(name: str, blocks: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:size]) in blocks for size in range(1, len(parts)))


def _blocks(module: nn.Module) -> set[str]:
    """Names of the repeated units: residual blocks, inverted bottlenecks, transformer blocks.

    A block is a composed module that a container holds and that holds no such modules in turn.
    """
    return set(_block_names(module, ""))


def _block_names(module: nn.Module, prefix: str) -> Iterator[str]:
    for name, child in module.named_children():
        if _is_container(module) and _is_block(child):
            yield prefix + name
        else:
            yield from _block_names(child, f"{prefix}{name}.")


def _is_container(module: nn.Module) -> bool:
    """A list of modules by type, or by what it holds: composed modules of one type and nothing else."""
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return True
    alike = len({type(child) for child in module.children()}) == 1
    return alike and _holds_only_units(module) and not list(module.parameters(recurse=False))


def _is_composed(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _is_block(module: nn.Module) -> bool:
    if not _is_composed(module) or _is_container(module):
        return False
    if any(_is_container(child) and _holds_only_units(child) for child in module.children()):
        return False
    weighty = (part for part in module.modules() if list(part.parameters(recurse=False)))
    return sum(1 for _ in weighty) >= _BLOCK_WEIGHTS


def _holds_only_units(container: nn.Module) -> bool:
    children = list(container.children())
    lists = nn.Sequential | nn.ModuleList | nn.ModuleDict
    return bool(children) and all(_is_composed(c) and not isinstance(c, lists) for c in children)
