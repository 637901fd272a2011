"""The places in an encoder that can be tapped, and how a choice of them is spelled."""

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
from .pooling import Form, Kind, fitting_pooling, require_fit
from .tracing import OUTPUT, Call, Trace, named_modules, trace

_FEWEST_STAGES = 3  # of maps; fewer resolutions do not divide a network
_TOKEN_STAGES = 4
_FEW = 8  # layers that an error lists
_PARALLEL = "parallel_blocks"  # of timm's CoaT: each returns four maps at once, the first as it was


@dataclass(frozen=True)
class Layer:
    """A named place in an encoder.

    Attributes:
        name: of the module; ``last`` is the representation, ``output`` the network's own output.
        kind: ``map``, ``tokens`` or ``vector``.
        shape: of one image's output.
        dim: features per image; pooled by ``resolve_layers``, before pooling by ``list_layers``.
        pooling: how the output becomes ``dim`` features; empty for a vector, and before pooling.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    dim: int
    pooling: str = ""


def list_layers(encoder: Encoder) -> tuple[Layer, ...]:
    """All layers of the encoder, in the order in which they finish.

    A layer is a module that runs exactly once in a forward pass and returns a tensor (or a tuple that
    holds one) with a map, tokens or a vector for each image, or the representation, ``last``.
    """
    return tuple(_layer(call, _dim(call)) for call in trace(encoder).calls)


def resolve_layers(encoder: Encoder, choice: Sequence[str], pooling: str | None) -> tuple[Layer, ...]:
    """The layers that a choice names, without repetition, in the order in which they finish.

    ``last`` is the representation that enters the classifier, one vector in most networks; ``stages`` are
    the outputs of the stages and ``last``; ``all`` adds every block. Anything else is a pattern over whole
    module names, in which ``*``, ``?`` and ``[…]`` do not cross dots: ``layer*`` means ``layer1`` to
    ``layer4``, ``blocks.[369]`` three blocks.

    Args:
        encoder: at the size that its images have.
        choice: names and patterns.
        pooling: for all layers; None is the encoder's own where it fits, otherwise the mean over positions.

    Raises:
        UnknownNameError: for a pattern that matches nothing, or a pooling that does not exist.
        ModelError: for a module that cannot be tapped, or a pooling that does not fit a chosen layer.
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
        raise ModelError(f"Layer {pattern!r} cannot be tapped: it {seen.refused[pattern]} in a forward pass.")
    raise _unknown_layer(pattern, names, _stages(seen, module), encoder.spec)


def _unknown_layer(pattern: str, names: Sequence[str], stages: Sequence[str], spec: str) -> UnknownNameError:
    """The error that suggests the nearest pattern or name, or else lists a few layers."""
    groups = ["last", "stages", "all"]
    near = [*_near_patterns(pattern, names), *get_close_matches(pattern, [*groups, *names], n=1)]
    if near:
        hint = f"Did you mean {near[0]!r}? See"
    else:
        shown = list(dict.fromkeys([*groups, *stages, *names]))[:_FEW]
        hint = f"Choose from: {', '.join(shown)}, … see"
    return UnknownNameError(f"No layer named {pattern!r}. {hint} `transferkit models layers {spec}`.")


def _near_patterns(pattern: str, names: Sequence[str]) -> Iterator[str]:
    """The pattern with each part that matches nothing replaced by the nearest, if that matches a name.

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
    """``last``.

    Raises: ModelError: if there is no representation.
    """
    if seen.ending.refused:
        raise ModelError(seen.ending.refused)
    if LAST in seen.refused:
        raise ModelError(
            f"Layer 'last' cannot be tapped: the representation {seen.refused[LAST]} in a forward pass. "
            "Name a layer instead; transferkit models layers SPEC lists them."
        )
    return [LAST]


def _matches(name: str, pattern: str) -> bool:
    """Whether each part between dots matches its own part of the pattern.

    >>> _matches("layer1", "layer*"), _matches("layer1.0", "layer*"), _matches("blocks.6", "blocks.[369]")
    (True, False, True)
    """
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _stages(seen: Trace, module: nn.Module) -> list[str]:
    """A handful of names: those that timm gives, else the ends of resolutions, or evenly spaced blocks."""
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
    return composed if len(composed) >= _FEWEST_STAGES else _ends(outer)


def _published_stages(seen: Trace, module: nn.Module) -> list[str]:
    """The modules that timm takes features from, but not a convolution or activation before the stages.

    Where timm names every block, at one resolution, these are evenly spaced blocks. Empty for networks of
    other libraries, and where a name is not that of a layer.
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
    """What timm says of the modules that it takes features from; nothing where one of them is no layer.

    Where it names a list of modules, which is not run as such, the last of them is meant.
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
    """The module that timm means where that has another name in the network (MViT, Twins, HRNet)."""
    number = name.removeprefix("block.").removeprefix("stage")
    meant = [f"incre_modules.{int(number) - 1}"] if number.isdecimal() else []
    return next((one for one in (*meant, name, f"stages.{number}", f"blocks.{number}") if one in parts), name)


def _blocks(seen: Trace, module: nn.Module) -> set[str]:
    blocks = find_blocks(module, [one["module"] for one in _published(seen, module)])
    return {name for name in blocks if not (is_from("timm", module) and name.startswith(f"{_PARALLEL}."))}


def _ran(seen: Trace, names: set[str]) -> list[Call]:
    return [call for call in seen.calls if call.name in names]


def _outside_units(maps: list[Call], modules: Mapping[str, nn.Module]) -> list[Call]:
    """Maps but those inside a block or a stage that changes their resolution.

    Such a unit is a module with another resolution than the map, which spans no more than these two. A larger
    one, or a sequence, only holds the stages.
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
    """The names of the modules around one.

    >>> list(ancestors("a.b.c"))
    ['a.b', 'a']
    """
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _side(call: Call) -> int:
    """Rows of a map, which are as many as its columns, wherever the features stand."""
    return call.shape[2]


def _ends(maps: list[Call]) -> list[str]:
    """For each resolution the last module at it that does not hold modules of another resolution."""
    side = {call.name: _side(call) for call in maps}

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
