"""The layers of an encoder whose outputs can be used as features, and patterns that select some of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from ..core.errors import ModelError, UnknownNameError
from .blocks import find_blocks, is_composed, weighted_parts
from .encoder import Encoder
from .ending import LAST, is_from
from .hooks import OUTPUT, named_modules
from .pooling import Form, Kind, fitting_pooling, require_fit
from .tracing import Call, Trace, trace

_MIN_MAP_STAGES = 3  # fewer resolutions of maps are not used as stages
_TOKEN_STAGES = 4
_MAX_LISTED = 8  # layers in an error message
_PARALLEL = "parallel_blocks"  # modules of timm's CoaT that return four maps at once, the first unchanged


@dataclass(frozen=True)
class Layer:
    """A layer of an encoder.

    Attributes:
        name: Name of the module; ``last`` is the representation, ``output`` the network's own output.
        kind: ``map``, ``tokens`` or ``vector``.
        shape: Shape of the output for one image.
        dim: Features per image after ``pooling``; without pooling, size of the output's feature axis.
        pooling: Pooling of the output; empty for a vector, and in the layers of ``list_layers``.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    dim: int
    pooling: str = ""


def list_layers(encoder: Encoder) -> tuple[Layer, ...]:
    """Return all layers of the encoder, in the order in which they finish.

    A layer is a module that runs exactly once in a forward pass and returns a tensor (or a tuple that contains
    one) with a map, tokens or a vector for each image, or it is the representation, ``last``.
    """
    return tuple(_layer(call, _dim(call)) for call in trace(encoder).calls)


def resolve_layers(encoder: Encoder, choice: Sequence[str], pooling: str | None) -> tuple[Layer, ...]:
    """Return the layers that a choice selects, each once, in the order in which they finish.

    ``last`` is the representation, which is the input of the classifier and one vector in most networks;
    ``stages`` are the outputs of the stages and ``last``; ``all`` adds every block. Anything else is a pattern for
    whole module names, in which ``*``, ``?`` and ``[…]`` do not match dots: ``layer*`` selects ``layer1`` to
    ``layer4``, ``blocks.[369]`` selects three blocks.

    Args:
        encoder: the encoder at the size of its images.
        choice: names and patterns.
        pooling: pooling of all layers; None is the encoder's own if it fits a layer, otherwise the mean over
            positions.

    Raises:
        UnknownNameError: if a pattern matches nothing, or there is no such pooling.
        ModelError: if a module has no usable output, or the pooling does not fit a selected layer.
    """
    traced = trace(encoder)
    chosen = {name for pattern in choice for name in _matching_layers(pattern, traced, encoder)}
    return tuple(_pooled(call, pooling, encoder.pooling) for call in traced.calls if call.name in chosen)


def _form(call: Call) -> Form:
    if call.form is None:
        raise ValueError(f"{call.name} has no form.")
    return call.form


def _dim(call: Call) -> int:
    return call.shape[_form(call).axis]


def _layer(call: Call, dim: int) -> Layer:
    return Layer(call.name, _form(call).kind, tuple(call.shape[1:]), dim)


def _pooled(call: Call, pooling: str | None, own: str) -> Layer:
    form = _form(call)
    pooling = pooling or fitting_pooling(form, own)
    require_fit(call.name, form, pooling)
    layer = _layer(call, form.width(call.shape, pooling))
    return layer if form.kind == "vector" else replace(layer, pooling=pooling)


def _matching_layers(pattern: str, traced: Trace, encoder: Encoder) -> list[str]:
    """Return the names of the layers that one name, group or pattern selects."""
    module = encoder.module
    if pattern == LAST:
        return _last(traced)
    if pattern in ("stages", "all"):
        blocks = _ran(traced, _blocks(traced, module)) if pattern == "all" else []
        return [
            *_stages(traced, module),
            *(call.name for call in blocks),
            *([] if traced.ending.refused else [LAST]),
        ]
    names = [call.name for call in traced.calls]
    if matching := [name for name in names if _matches(name, pattern)]:
        return matching
    if pattern in traced.refused:
        raise ModelError(f"Layer {pattern!r} cannot be used: it {traced.refused[pattern]} in a forward pass.")
    raise _unknown_layer(pattern, names, _stages(traced, module), encoder.spec)


def _unknown_layer(pattern: str, names: Sequence[str], stages: Sequence[str], spec: str) -> UnknownNameError:
    """Return the error that suggests the nearest pattern or name, or lists a few layers."""
    groups = ["last", "stages", "all"]
    listing = f"`transferkit models layers {spec}`"
    near = _near_pattern(pattern, names) or next(iter(get_close_matches(pattern, [*groups, *names], n=1)), None)
    if near:
        return UnknownNameError(f"No layer named {pattern!r}. Did you mean {near!r}? See {listing}.")
    choices = list(dict.fromkeys([*groups, *stages, *names]))
    shown = [*choices[:_MAX_LISTED], *(["…"] if len(choices) > _MAX_LISTED else [])]
    return UnknownNameError(f"No layer named {pattern!r}. Choose from: {', '.join(shown)}; see {listing}.")


def _near_pattern(pattern: str, names: Sequence[str]) -> str | None:
    """Replace the parts of a pattern that match nothing by the nearest parts; None if no name matches the result.

    >>> _near_pattern("block.*", ["blocks.0", "blocks.1", "head"])
    'blocks.*'
    """
    parts = pattern.split(".")
    same_depth = [name_parts for name in names if len(name_parts := name.split(".")) == len(parts)]
    corrected = []
    for position, part in enumerate(parts):
        choices = sorted({name_parts[position] for name_parts in same_depth})
        matched = any(fnmatchcase(choice, part) for choice in choices)
        corrected += [part] if matched else get_close_matches(part, choices, n=1)
    near = ".".join(corrected)
    return near if len(corrected) == len(parts) and any(_matches(name, near) for name in names) else None


def _last(traced: Trace) -> list[str]:
    """Return ``last``.

    Raises: ModelError: if there is no representation.
    """
    if traced.ending.refused:
        raise ModelError(traced.ending.refused)
    if LAST in traced.refused:
        raise ModelError(
            f"Layer 'last' cannot be used: the representation {traced.refused[LAST]} in a forward pass. "
            "Name a layer instead; transferkit models layers SPEC lists them."
        )
    return [LAST]


def _matches(name: str, pattern: str) -> bool:
    """Return True if each part between dots matches the corresponding part of the pattern.

    >>> _matches("layer1", "layer*"), _matches("layer1.0", "layer*"), _matches("blocks.6", "blocks.[369]")
    (True, False, True)
    """
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _stages(traced: Trace, module: nn.Module) -> list[str]:
    """Return a few names: timm's stages, otherwise the last modules of each resolution, or evenly spaced blocks."""
    if named := _published_stages(traced, module):
        return named
    blocks = _blocks(traced, module)
    ran = _ran(traced, blocks)
    tokens = [call.name for call in ran if _form(call).kind == "tokens"]
    if 2 * len(tokens) > len(ran):  # a transformer, even if it starts with a few convolutional blocks
        return _evenly(tokens, _TOKEN_STAGES)
    maps = [call for call in traced.calls if _form(call).kind == "map" and call.name not in (OUTPUT, LAST)]
    modules = named_modules(module)
    outer = [call for call in _drop_inner_maps(maps, modules) if blocks.isdisjoint(ancestors(call.name))]
    composed = _last_of_each_size([call for call in outer if is_composed(modules[call.name])])
    return composed if len(composed) >= _MIN_MAP_STAGES else _last_of_each_size(outer)


def _published_stages(traced: Trace, module: nn.Module) -> list[str]:
    """Return the modules from which timm extracts features, without a convolution or activation before the stages.

    If timm names every block, all of one resolution, these are evenly spaced blocks. The list is empty for networks
    of other libraries, and if a name is not that of a layer.
    """
    # A dictionary keeps the first position of a key: in reverse order, a module that is listed twice keeps its last.
    reduction = {entry["module"]: entry["reduction"] for entry in reversed(_published(traced, module))}
    names = list(reversed(reduction))
    if not names:
        return []
    if len(names) > _TOKEN_STAGES and len(set(reduction.values())) == 1:
        return _evenly(names, _TOKEN_STAGES)
    single = [weighted_parts(module.get_submodule(name)) < 2 for name in names]
    return names[1:] if single[0] and not all(single) else names


def _published(traced: Trace, module: nn.Module) -> list[dict[str, Any]]:
    """Return timm's descriptions of the modules from which it extracts features; none if one of them is no layer.

    If timm names a list of modules, which has no forward pass itself, the name stands for its last module.
    """
    published = getattr(module, "feature_info", None)
    if not is_from("timm", module) or not isinstance(published, list):
        return []
    layers = {call.name for call in traced.calls}
    parts = dict(module.named_modules())
    entries = []
    for number, entry in enumerate(published, 1):
        name = f"serial_blocks{number}" if entry["module"] == _PARALLEL else entry["module"]
        name = _as_built(name, parts)
        while isinstance(part := parts.get(name), nn.ModuleList) and len(part):
            name = f"{name}.{len(part) - 1}"
        entries.append({**entry, "module": name})
    stages = entries[1:] if entries and entries[0]["module"] not in parts else entries  # not all stems are modules
    return stages if all(entry["module"] in layers for entry in stages) else []


def _as_built(name: str, parts: Mapping[str, nn.Module]) -> str:
    """Return the module for timm's name of it, which is different in some networks (MViT, Twins, HRNet)."""
    number = name.removeprefix("block.").removeprefix("stage")
    hrnet = [f"incre_modules.{int(number) - 1}"] if number.isdecimal() else []
    candidates = (*hrnet, name, f"stages.{number}", f"blocks.{number}")
    return next((candidate for candidate in candidates if candidate in parts), name)


def _blocks(traced: Trace, module: nn.Module) -> set[str]:
    """Return the names of the blocks, without the parallel ones of CoaT."""
    blocks = find_blocks(module, [entry["module"] for entry in _published(traced, module)])
    return {name for name in blocks if not (is_from("timm", module) and name.startswith(f"{_PARALLEL}."))}


def _ran(traced: Trace, names: set[str]) -> list[Call]:
    """Return the calls of the modules ``names`` that are layers, in the order in which they finished."""
    return [call for call in traced.calls if call.name in names]


def _drop_inner_maps(maps: list[Call], modules: Mapping[str, nn.Module]) -> list[Call]:
    """Return the maps without those inside a block or a stage whose output has another size.

    A block or a stage is recognised by its maps, which have two sizes together: that of its output and one other. A
    module with maps of more sizes, or a sequence, contains stages.
    """
    size = {call.name: _map_size(call) for call in maps}
    sizes_within = {
        outer: {size[name] for name in size if name.startswith(f"{outer}.")} | {size[outer]}
        for outer in size
        if not isinstance(modules[outer], nn.Sequential)
    }

    def is_inner(name: str) -> bool:
        units = (outer for outer in ancestors(name) if len(sizes_within.get(outer, ())) == 2)  # blocks and stages
        return any(size[outer] != size[name] for outer in units)

    return [call for call in maps if not is_inner(call.name)]


def ancestors(name: str) -> Iterator[str]:
    """Yield the names of the modules around a module.

    >>> list(ancestors("a.b.c"))
    ['a.b', 'a']
    """
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _map_size(call: Call) -> int:
    """Return the number of rows of a square map, whose features may be the second or the last axis."""
    return call.shape[2]


def _last_of_each_size(maps: list[Call]) -> list[str]:
    """Return one module for each size of maps: the last of those that contain no map of another size."""
    size = {call.name: _map_size(call) for call in maps}

    def contains_other_size(name: str) -> bool:
        return any(inner.startswith(f"{name}.") and size[inner] != size[name] for inner in size)

    return list({size[name]: name for name in size if not contains_other_size(name)}.values())


def _evenly(names: list[str], count: int) -> list[str]:
    """Return the last name of each of ``count`` equal parts.

    >>> _evenly(list("abcdefgh"), 4), _evenly(list("ab"), 4)
    (['b', 'd', 'f', 'h'], ['a', 'b'])
    """
    count = min(count, len(names))
    return [names[len(names) * (part + 1) // count - 1] for part in range(count)]
