"""Find one network's weights in a checkpoint of any training program.

Programs nest the weights in dictionaries (``state_dict``, ``model``, ``teacher``), add prefixes to their names
(``module.encoder_q.``, ``backbone.``) and save several copies (a momentum encoder, a student). The weights are
found by matching names and shapes, independently of the program; ``copies.py`` then selects one of the copies.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from .renaming import SPELLINGS, PublishedNames, without_wrappers

_MAX_DEPTH = 4  # nested dictionaries; VISSL's are the deepest
_UNTRACKED = "num_batches_tracked"  # a counter that does not affect outputs; older programs do not write it
_MAX_PREFIXES = 24  # prefixes of a dictionary to which a library's own renaming is applied

_HEADS = re.compile(
    r"(fc|heads?|classifiers?|head_dist|last_linear|mlp|linear|logits?|projectors?|projection(_head|_layer)?|"
    r"predictors?|prediction(_head)?|prototypes\d*|contrastive_head|queue(_\w+)?|decoder\w*|mask_token|"
    r"online_classifier|temperature|logit_scale|aux\d?|aux_head|AuxLogits|"
    r"[a-z]+_(head|projector|predictor|classifier))$"
)


@dataclass(frozen=True, eq=False)
class TargetNetwork:
    """The network whose weights are searched for.

    Attributes:
        module: The network; its own weights are not used.
        classifier: Names of its final linear modules, whose weights may be missing.
        any_width: Whether these modules may also have another width.
        strange: Names that are unexpected although they match the pattern of a head.
        ignored: Names of a head that need not match the pattern.
        published: The library's renaming of published weights.
    """

    module: nn.Module
    classifier: tuple[str, ...] = ()
    any_width: bool = True
    strange: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    published: PublishedNames | None = None

    @cached_property
    def shapes(self) -> dict[str, torch.Size]:
        """Name → shape of every saved parameter and buffer."""
        return {name: value.shape for name, value in self.module.state_dict().items()}

    @cached_property
    def unsaved(self) -> set[str]:
        """Names of buffers that are not saved, although older versions of the network's code saved them."""
        return {name for name, _ in self.module.named_buffers()} - set(self.shapes)

    def optional(self, name: str) -> bool:
        """Return whether the network computes the same features without the weight ``name``."""
        return name.endswith(_UNTRACKED) or name.startswith(tuple(f"{part}." for part in self.classifier))


@dataclass(frozen=True, eq=False)
class CheckpointMatch:
    """The comparison of one copy of the weights in a checkpoint with a network.

    Attributes:
        path: Keys that lead to its dictionary, joined by dots.
        prefix: Prefix of its names there, without the last dot.
        weights: Our name → tensor, with the right shape.
        missing: Names of the backbone without a weight.
        misshapen: Name in the file, shape and expected shape of each weight of another shape.
        unexpected: Names with the prefix that belong neither to the network nor to a known head.
        resampled: Whether a position embedding was resampled to another grid.
    """

    path: str
    prefix: str
    weights: dict[str, Tensor]
    missing: tuple[str, ...]
    misshapen: tuple[str, ...]
    unexpected: tuple[str, ...]
    resampled: bool = False

    @property
    def where(self) -> str:
        """The dictionary and prefix where it was found, for users."""
        return ".".join(filter(None, [self.path, self.prefix])) or "its top level"

    @property
    def whole(self) -> bool:
        """True if every weight of the backbone was found and no weight is unexpected."""
        return not (self.missing or self.misshapen or self.unexpected)

    @property
    def faults(self) -> int:
        """Number of names that do not match."""
        return len(self.missing) + len(self.misshapen) + len(self.unexpected)

    @property
    def score(self) -> tuple[int, int]:
        """Number of weights that match in name and shape, and number that match in name."""
        return len(self.weights), len(self.weights) + len(self.misshapen)


def fits(checkpoint: Mapping[Any, Any], network: TargetNetwork) -> list[CheckpointMatch]:
    """Return the best match at each place in the checkpoint where a weight of the network is found.

    If the names alone do not match, the library's own renaming of published weights is tried.
    """
    found: dict[tuple[str, str], CheckpointMatch] = {}
    for path, tensors in tensors_within(checkpoint):
        cleaned = without_wrappers(tensors, network.module)
        for fit in _by_names(path, cleaned, network):
            _keep_better(found, fit)
        if not any(fit.whole for fit in found.values() if fit.path == path):
            for fit in _by_library(path, cleaned, network):
                _keep_better(found, fit)
    return list(found.values())


def _keep_better(found: dict[tuple[str, str], CheckpointMatch], fit: CheckpointMatch) -> None:
    place = fit.path, fit.prefix
    if place not in found or (fit.whole, fit.score) > (found[place].whole, found[place].score):
        found[place] = fit


def tensors_within(checkpoint: object, path: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield every dictionary of named tensors in a checkpoint, with the keys that lead to it."""
    if not isinstance(checkpoint, Mapping) or path.count(".") >= _MAX_DEPTH:
        return
    named = {key: value for key, value in checkpoint.items() if isinstance(key, str)}
    if tensors := {key: value for key, value in named.items() if isinstance(value, Tensor)}:
        yield path, tensors
    for key, value in named.items():
        yield from tensors_within(value, f"{path}.{key}".lstrip("."))


def _by_names(path: str, tensors: Mapping[str, Tensor], network: TargetNetwork) -> Iterator[CheckpointMatch]:
    """Yield a match for each prefix that is followed by names of the network in any of the spellings."""
    for spell in SPELLINGS:
        spelling = spell(network.module, network.shapes)
        for prefix in _prefixes(tensors, spelling):
            stripped = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            yield _fit(path, prefix, {spelling.get(k, k): v for k, v in stripped.items()}, network)


def _prefixes(tensors: Mapping[str, Tensor], spelling: Mapping[str, str]) -> list[str]:
    """Return the prefixes with the most names; copies of a network have similar numbers of names."""
    count: Counter[str] = Counter()
    for key in tensors:
        parts = key.split(".")
        for start in range(len(parts)):
            name = spelling.get(".".join(parts[start:]))
            if name is not None and not name.endswith(_UNTRACKED):
                count["".join(f"{part}." for part in parts[:start])] += 1
    most = max(count.values(), default=0)
    return [prefix for prefix, names in count.items() if 2 * names >= most]


def _by_library(path: str, tensors: Mapping[str, Tensor], network: TargetNetwork) -> Iterator[CheckpointMatch]:
    """Yield a match for each prefix after which the library's renaming finds weights of the network."""
    if network.published is None:
        return
    for prefix in _common_prefixes(tensors):
        stripped = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        renamed = network.published.renamed(stripped, network.module)
        if renamed is not None:
            fit = _fit(path, prefix, renamed, network)
            if fit.weights:
                yield replace(fit, resampled=_is_resampled(stripped, renamed))


def _is_resampled(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> bool:
    """Return whether a position embedding has another number of values than any tensor had before."""
    sizes = {tensor.numel() for tensor in before.values()}
    return any("pos_embed" in name and value.numel() not in sizes for name, value in after.items())


def _common_prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the empty prefix, and the most frequent prefixes of modules with names (not numbers)."""
    count: Counter[str] = Counter()
    for key in tensors:
        parts = key.split(".")[:-1]
        for end in range(1, min(len(parts), _MAX_DEPTH) + 1):
            if parts[end - 1].isdigit():
                break
            count["".join(f"{part}." for part in parts[:end])] += 1
    return ["", *(prefix for prefix, _ in count.most_common(_MAX_PREFIXES))]


def _fit(path: str, prefix: str, tensors: Mapping[str, Tensor], network: TargetNetwork) -> CheckpointMatch:
    """Compare the weights after a prefix, under our names, with the network."""
    ours = network.shapes
    weights: dict[str, Tensor] = {}
    misshapen: dict[str, str] = {}
    unexpected: list[str] = []
    for name, tensor in tensors.items():
        if name not in ours:
            own = name in network.unsaved or name in network.ignored
            known = own or _HEADS.match(name.split(".")[0])
            if not known or name in network.strange:
                unexpected.append(prefix + name)
        elif tensor.shape == ours[name]:
            weights[name] = tensor
        elif not (network.any_width and network.optional(name)):
            misshapen[name] = f"{prefix}{name} {list(tensor.shape)}, not {list(ours[name])}"
    absent = [name for name in ours if name not in weights and name not in misshapen]
    missing = tuple(name for name in absent if not network.optional(name))
    return CheckpointMatch(path, prefix.rstrip("."), weights, missing, tuple(misshapen.values()), tuple(unexpected))
