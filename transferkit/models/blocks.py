"""The blocks of a network, its repeated units: residual blocks, inception modules and transformer blocks."""

from collections.abc import Collection, Iterator

from torch import nn

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_MIN_WEIGHTED = 3  # modules with weights in a block: a convolution with its normalisation is no block
_NOT_BLOCKS = (
    "stem",
    "embed",
    "head",
    "classifier",
    "pool",
)  # parts of names of modules before and after the blocks


def find_blocks(module: nn.Module, stages: Collection[str] = ()) -> set[str]:
    """Return the names of the blocks, the outermost units that are neither stages nor lists.

    Args:
        module: the network.
        stages: names of its stages if its library names them; a stage may be a block.
    """
    large = {name for name in stages if weighted_parts(module.get_submodule(name)) > 1}
    return {name for name in _units(module, "", large) if not any(part in _own(name) for part in _NOT_BLOCKS)}


def weighted_parts(module: nn.Module) -> int:
    """Return the number of modules inside that have their own weights."""
    return sum(1 for part in module.modules() if next(part.parameters(recurse=False), None) is not None)


def is_composed(module: nn.Module) -> bool:
    """Return whether the module contains other modules."""
    return next(module.children(), None) is not None


def _own(name: str) -> str:
    return name.rpartition(".")[2]


def _units(module: nn.Module, prefix: str, stages: Collection[str], *, in_stage: bool = False) -> Iterator[str]:
    """Yield the blocks among and inside the children of a module; children of a known stage are blocks or lists."""
    children = {f"{prefix}{name}": child for name, child in module.named_children() if _is_large(child)}
    all_stages = all(name in stages for name, child in children.items() if not isinstance(child, _LISTS))
    for name, child in children.items():
        inner = sum(stage.startswith(f"{name}.") for stage in stages) > 1
        if isinstance(child, _LISTS):
            holds_units = any(map(_is_large, child.children()))
            element = [name] if prefix else []  # an element of another list is a block written as a sequence
            yield from _units(child, f"{name}.", stages, in_stage=in_stage) if holds_units else element
        elif not in_stage and (inner or _is_stage(child, named=all_stages if name in stages else None)):
            yield from _lists_of_units(child, name, stages)
        else:
            yield name


def _lists_of_units(module: nn.Module, name: str, stages: Collection[str]) -> Iterator[str]:
    """Yield the units in the lists of a stage, and those of its direct children that contain stages."""
    known = name in stages
    if _is_row(module):
        yield from _units(module, f"{name}.", stages, in_stage=known)
    elif known and _is_tree(module):
        yield from _leaves(module, name)
    for child_name, child in module.named_children():
        full = f"{name}.{child_name}"
        if isinstance(child, _LISTS) and any(map(_is_large, child.children())):
            yield from _units(child, f"{full}.", stages, in_stage=known)
        elif any(stage.startswith(f"{full}.") for stage in stages):
            yield from _lists_of_units(child, full, stages)


def _is_stage(module: nn.Module, *, named: bool | None) -> bool:
    """Return whether a module contains blocks.

    Args:
        module: a module that is not a list.
        named: whether its library calls it and all its siblings stages; None if the library does not name it.
    """
    if named is not None:
        return named and (_is_row(module) or _is_tree(module) or any(map(_holds_units, module.children())))
    return any(map(_holds_only_units, module.children()))


def _is_row(module: nn.Module) -> bool:
    """Return whether the module contains only large modules of one type."""
    children = list(module.children())
    alike = len({type(child) for child in children}) == 1 and not list(module.parameters(recurse=False))
    return alike and all(map(_is_large, children)) and not isinstance(children[0], _LISTS)


def _is_tree(module: nn.Module) -> bool:
    """Return whether the module joins the outputs of several large modules of one type, blocks or trees (DLA)."""
    branches = [type(child) for _, child in _branches(module)]
    return len(branches) > 1 and len(set(branches)) == 1


def _branches(module: nn.Module) -> list[tuple[str, nn.Module]]:
    children = module.named_children()
    return [(name, child) for name, child in children if _is_large(child) and not isinstance(child, _LISTS)]


def _leaves(module: nn.Module, name: str) -> Iterator[str]:
    """Yield the blocks of a tree."""
    if not _is_tree(module):
        yield name
        return
    for child_name, child in _branches(module):
        yield from _leaves(child, f"{name}.{child_name}")


def _holds_units(module: nn.Module) -> bool:
    return isinstance(module, _LISTS) and any(map(_is_large, module.children()))


def _holds_only_units(module: nn.Module) -> bool:
    children = list(module.children())
    units = bool(children) and all(_is_large(child) and not isinstance(child, _LISTS) for child in children)
    return isinstance(module, _LISTS) and units


def _is_large(module: nn.Module) -> bool:
    return is_composed(module) and weighted_parts(module) >= _MIN_WEIGHTED
