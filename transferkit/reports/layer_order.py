"""The order of layers by depth, derived from their names: records do not contain it, and reports load no network."""

import re
from collections.abc import Iterable

_FIRST = ("pixels", "stem", "conv_stem", "conv1", "bn1", "act1", "maxpool", "patch_embed", "embeddings")
_LAST = (
    "conv_head",
    "bn2",
    "act2",
    "norm",
    "norm_head",
    "final_conv",
    "avgpool",
    "global_pool",
    "pool",
    "fc_norm",
    "head",
    "classifier",
    "fc",
    "last",
    "output",
    "all",
)


def by_depth(layers: Iterable[str]) -> list[str]:
    """Sort names of layers by depth: first the stem, then numbered blocks by number, then the final layers.

    A block comes after the layers inside it, because it finishes later.

    >>> by_depth(["global_pool", "layer10", "layer2", "conv1", "layer2.0"])
    ['conv1', 'layer2.0', 'layer2', 'layer10', 'global_pool']
    """
    return sorted(set(layers), key=_sort_key)


def _sort_key(layer: str) -> tuple[int, int, list[tuple[int, float, str]]]:
    head = layer.partition(".")[0]
    if layer in _FIRST or head in _FIRST:
        return 0, 0, _parts(layer)
    known = next((name for name in (layer, head) if name in _LAST), None)
    if known:
        return 2, _LAST.index(known), _parts(layer)
    return 1, 0, _parts(layer)


def _parts(layer: str) -> list[tuple[int, float, str]]:
    """Split a name into numbers and words for sorting; a name comes after all names that it is a prefix of."""
    pieces = re.findall(r"\d+|[^\d.]+", layer)
    return [(0, float(p), "") if p.isdigit() else (1, 0.0, p) for p in pieces] + [(2, 0.0, "")]
