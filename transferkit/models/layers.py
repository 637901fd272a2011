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
        dim: Features per image: after pooling from ``resolve_layers``, before pooling from ``list_layers``.
        pooling: Pooling from the output to ``dim`` features; empty for a vector, and before pooling.
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
    seen = trace(encoder)
    chosen = {name for pattern in choice for name in _named(pattern, seen, encoder)}
    return tuple(_pooled(call, pooling, encoder.pooling) for call in seen.calls if call.name in chosen)


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


def _named(pattern: str, seen: Trace, encoder: Encoder) -> list[str]:
    module = encoder.module
    if pattern == LAST:
        return _last(seen)
    if pattern in ("stages", "all"):
        blocks = _ran(seen, _blocks(seen, module)) if pattern == "all" else []
        return [
            *_stages(seen, module),
            *(call.name for call in blocks),
            *([] if seen.ending.refused else [LAST]),
        ]
    names = [call.name for call in seen.calls]
    if found := [name for name in names if _matches(name, pattern)]:
        return found
    if pattern in seen.refused:
        raise ModelError(f"Layer {pattern!r} cannot be used: it {seen.refused[pattern]} in a forward pass.")
    raise _unknown_layer(pattern, names, _stages(seen, module), encoder.spec)


def _unknown_layer(pattern: str, names: Sequence[str], stages: Sequence[str], spec: str) -> UnknownNameError:
    """Return the error that suggests the nearest pattern or name, or lists a few layers."""
    groups = ["last", "stages", "all"]
    near = [*_near_patterns(pattern, names), *get_close_matches(pattern, [*groups, *names], n=1)]
    if near:
        hint = f"Did you mean {near[0]!r}? See"
    else:
        shown = list(dict.fromkeys([*groups, *stages, *names]))[:_MAX_LISTED]
        hint = f"Choose from: {', '.join(shown)}, … see"
    return UnknownNameError(f"No layer named {pattern!r}. {hint} `transferkit models layers {spec}`.")


def _near_patterns(pattern: str, names: Sequence[str]) -> Iterator[str]:
    """Yield the pattern with parts that match nothing replaced by the nearest part, if it then matches a name.

    >>> list(_near_patterns("block.*", ["blocks.0", "blocks.1", "head"]))
    ['blocks.*']
    """
    parts = pattern.split(".")
    deep = [own for name in names if len(own := name.split(".")) == len(parts)]
    spelled = []
    for place, part in enumerate(parts):
        known = sorted({own[place] for own in deep})
        matched = any(fnmatchcase(one, part) for one in known)
        spelled += [part] if matched else get_close_matches(part, known, n=1)
    found = ".".join(spelled)
    if len(spelled) == len(parts) and any(_matches(name, found) for name in names):
        yield found


def _last(seen: Trace) -> list[str]:
    """Return ``last``.

    Raises: ModelError: if there is no representation.
    """
    if seen.ending.refused:
        raise ModelError(seen.ending.refused)
    if LAST in seen.refused:
        raise ModelError(
            f"Layer 'last' cannot be used: the representation {seen.refused[LAST]} in a forward pass. "
            "Name a layer instead; transferkit models layers SPEC lists them."
        )
    return [LAST]


def _matches(name: str, pattern: str) -> bool:
    """Return whether each part between dots matches the corresponding part of the pattern.

    >>> _matches("layer1", "layer*"), _matches("layer1.0", "layer*"), _matches("blocks.6", "blocks.[369]")
    (True, False, True)
    """
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _stages(seen: Trace, module: nn.Module) -> list[str]:
    """Return a few names: timm's stages, otherwise the last modules of each resolution, or evenly spaced blocks."""
    if named := _published_stages(seen, module):
        return named
    blocks = _blocks(seen, module)
    ran = _ran(seen, blocks)
    tokens = [call.name for call in ran if _form(call).kind == "tokens"]
    if 2 * len(tokens) > len(ran):
        return _evenly(tokens, _TOKEN_STAGES)
    maps = [call for call in seen.calls if _form(call).kind == "map" and call.name not in (OUTPUT, LAST)]
    modules = named_modules(module)
    outer = [call for call in _outside_units(maps, modules) if blocks.isdisjoint(ancestors(call.name))]
    composed = _ends([call for call in outer if is_composed(modules[call.name])])
    return composed if len(composed) >= _MIN_MAP_STAGES else _ends(outer)


def _published_stages(seen: Trace, module: nn.Module) -> list[str]:
    """Return the modules from which timm extracts features, without a convolution or activation before the stages.

    If timm names every block, all of one resolution, these are evenly spaced blocks. The list is empty for networks
    of other libraries, and if a name is not that of a layer.
    """
    reduction = {one["module"]: one["reduction"] for one in reversed(_published(seen, module))}
    names = list(reversed(reduction))
    if not names:
        return []
    if len(names) > _TOKEN_STAGES and len(set(reduction.values())) == 1:
        return _evenly(names, _TOKEN_STAGES)
    single = [weighted_parts(module.get_submodule(name)) < 2 for name in names]
    return names[1:] if single[0] and not all(single) else names


def _published(seen: Trace, module: nn.Module) -> list[dict[str, Any]]:
    """Return timm's descriptions of the modules from which it extracts features; none if one of them is no layer.

    If timm names a list of modules, which has no forward pass itself, the name stands for its last module.
    """
    published = getattr(module, "feature_info", None)
    if not is_from("timm", module) or not isinstance(published, list):
        return []
    layers = {call.name for call in seen.calls}
    parts = dict(module.named_modules())
    found = []
    for number, one in enumerate(published, 1):
        name = f"serial_blocks{number}" if one["module"] == _PARALLEL else one["module"]
        name = _as_built(name, parts)
        while isinstance(part := parts.get(name), nn.ModuleList) and len(part):
            name = f"{name}.{len(part) - 1}"
        found.append({**one, "module": name})
    stages = found[1:] if found and found[0]["module"] not in parts else found  # not all stems are modules
    return stages if all(one["module"] in layers for one in stages) else []


def _as_built(name: str, parts: Mapping[str, nn.Module]) -> str:
    """Return the module for timm's name of it, which is different in some networks (MViT, Twins, HRNet)."""
    number = name.removeprefix("block.").removeprefix("stage")
    meant = [f"incre_modules.{int(number) - 1}"] if number.isdecimal() else []
    return next((one for one in (*meant, name, f"stages.{number}", f"blocks.{number}") if one in parts), name)


def _blocks(seen: Trace, module: nn.Module) -> set[str]:
    blocks = find_blocks(module, [one["module"] for one in _published(seen, module)])
    return {name for name in blocks if not (is_from("timm", module) and name.startswith(f"{_PARALLEL}."))}


def _ran(seen: Trace, names: set[str]) -> list[Call]:
    return [call for call in seen.calls if call.name in names]


def _outside_units(maps: list[Call], modules: Mapping[str, nn.Module]) -> list[Call]:
    """Return the maps that are not inside a block or a stage with another resolution.

    Such a unit is a module whose output has another resolution than the map, and which contains only these two
    resolutions. A module with more resolutions, or a sequence, contains stages.
    """
    side = {call.name: _side(call) for call in maps}
    spanned = {
        outer: {side[name] for name in side if name.startswith(f"{outer}.")} | {side[outer]}
        for outer in side
        if not isinstance(modules[outer], nn.Sequential)
    }

    def inside_unit(name: str) -> bool:
        units = (outer for outer in ancestors(name) if len(spanned.get(outer, ())) == 2)
        return any(side[outer] != side[name] for outer in units)

    return [call for call in maps if not inside_unit(call.name)]


def ancestors(name: str) -> Iterator[str]:
    """Yield the names of the modules around a module.

    >>> list(ancestors("a.b.c"))
    ['a.b', 'a']
    """
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _side(call: Call) -> int:
    """Return the number of rows of a square map, whose features may be the second or the last axis."""
    return call.shape[2]


def _ends(maps: list[Call]) -> list[str]:
    """Return the last module of each resolution that contains no modules of another resolution."""
    side = {call.name: _side(call) for call in maps}

    def spans(name: str) -> bool:
        return any(inner.startswith(f"{name}.") and side[inner] != side[name] for inner in side)

    return list({side[name]: name for name in side if not spans(name)}.values())


def _evenly(names: list[str], count: int) -> list[str]:
    """Return the last name of each of ``count`` equal parts.

    >>> _evenly(list("abcdefgh"), 4), _evenly(list("ab"), 4)
    (['b', 'd', 'f', 'h'], ['a', 'b'])
    """
    count = min(count, len(names))
    return [names[len(names) * (part + 1) // count - 1] for part in range(count)]
