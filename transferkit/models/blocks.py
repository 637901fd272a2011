"""The blocks of a network, its repeated units: residual blocks, inception modules, transformer blocks."""

from collections.abc import Collection, Iterator

from torch import nn

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_BLOCK_WEIGHTS = 3  # modules with weights in a block: a convolution and its normalisation alone are none
_FRONTS = (
    "stem",
    "embed",
    "head",
    "classifier",
    "pool",
)  # in names of what stands before and behind the blocks


def find_blocks(module: nn.Module, stages: Collection[str] = ()) -> set[str]:
    """Names of the blocks, outermost units that are neither stages nor lists.

    Args:
        module: the network.
        stages: names of its stages, where its library gives them; a block may be one, too.
    """
    large = {name for name in stages if weighted_parts(module.get_submodule(name)) > 1}
    return {name for name in _units(module, "", large) if not any(front in _own(name) for front in _FRONTS)}


def weighted_parts(module: nn.Module) -> int:
    """How many modules in it have weights of their own."""
    return sum(1 for part in module.modules() if next(part.parameters(recurse=False), None) is not None)


def is_composed(module: nn.Module) -> bool:
    """Whether it holds other modules."""
    return next(module.children(), None) is not None


def _own(name: str) -> str:
    return name.rpartition(".")[2]


def _units(module: nn.Module, prefix: str, stages: Collection[str], *, in_stage: bool = False) -> Iterator[str]:
    """The blocks among and inside the children of a module; in a known stage, each is a block or a list."""
    children = {f"{prefix}{name}": child for name, child in module.named_children() if _is_large(child)}
    all_stages = all(name in stages for name, child in children.items() if not isinstance(child, _LISTS))
    for name, child in children.items():
        inner = sum(stage.startswith(f"{name}.") for stage in stages) > 1
        if isinstance(child, _LISTS):
            holds_units = any(map(_is_large, child.children()))
            element = [name] if prefix else []  # of another list: a block that is written as a sequence
            yield from _units(child, f"{name}.", stages, in_stage=in_stage) if holds_units else element
        elif not in_stage and (inner or _is_stage(child, named=all_stages if name in stages else None)):
            yield from _lists_of_units(child, name, stages)
        else:
            yield name


def _lists_of_units(module: nn.Module, name: str, stages: Collection[str]) -> Iterator[str]:
    """The units in the lists of a stage, and those of its direct children that hold stages."""
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
    """Whether a module holds blocks.

    Args:
        module: no list itself.
        named: whether its library calls it, and all modules beside it, stages; None if it does not name it.
    """
    if named is not None:
        return named and (_is_row(module) or _is_tree(module) or any(map(_holds_units, module.children())))
    return any(map(_holds_only_units, module.children()))


def _is_row(module: nn.Module) -> bool:
    """Whether it holds large modules of one type and nothing else."""
    children = list(module.children())
    alike = len({type(child) for child in children}) == 1 and not list(module.parameters(recurse=False))
    return alike and all(map(_is_large, children)) and not isinstance(children[0], _LISTS)


def _is_tree(module: nn.Module) -> bool:
    """Whether it holds several large modules of one type, blocks or trees, and joins their outputs (DLA)."""
    branches = [type(child) for _, child in _branches(module)]
    return len(branches) > 1 and len(set(branches)) == 1


def _branches(module: nn.Module) -> list[tuple[str, nn.Module]]:
    children = module.named_children()
    return [(name, child) for name, child in children if _is_large(child) and not isinstance(child, _LISTS)]


def _leaves(module: nn.Module, name: str) -> Iterator[str]:
    """The blocks of a tree."""
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
    return is_composed(module) and weighted_parts(module) >= _BLOCK_WEIGHTS
