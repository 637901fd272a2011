"""Find one network's weights in a checkpoint that a training program wrote around it.

Programs wrap the weights in dictionaries (``state_dict``, ``model``, ``teacher``), put prefixes before
their names (``module.encoder_q.``, ``backbone.``) and keep several copies (a momentum encoder, a student).
Which of them fits is found by matching names and shapes, not by knowing the program.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

_DEPTH = 4  # dictionaries within dictionaries; VISSL's is the deepest
_UNTRACKED = "num_batches_tracked"  # counts batches, shapes nothing, and older programs do not write it

_COPIES = {"momentum", "k", "key", "target", "ema", "student"}
_HEADS = re.compile(
    r"(fc|heads?|classifiers?|head_dist|last_linear|mlp|linear|logits?|projectors?|projection(_head|_layer)?|"
    r"predictors?|prediction(_head)?|prototypes\d*|contrastive_head|queue(_\w+)?|decoder\w*|mask_token|"
    r"online_classifier|temperature|logit_scale|[a-z]+_(head|projector|predictor|classifier))$"
)


@dataclass(frozen=True, eq=False)
class Fit:
    """How one copy of the weights in a checkpoint compares with a network.

    Attributes:
        where: the dictionary and prefix it was found under, for people.
        weights: our name → tensor, with the right shape.
        missing: names of the backbone that have no weight.
        misshapen: their name, shape and the shape wanted, for each that differs.
        unexpected: names under the prefix that are no part of the network nor of a known head.
    """

    where: str
    weights: dict[str, Tensor]
    missing: tuple[str, ...]
    misshapen: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether every weight of the backbone was found, and nothing was left over."""
        return not (self.missing or self.misshapen or self.unexpected)


@dataclass(frozen=True, eq=False)
class _Copy:
    """One place the weights may be: a dictionary, a prefix, and a spelling of the names behind it."""

    path: str
    prefix: str
    tensors: Mapping[str, Tensor]
    spelling: Mapping[str, str]  # theirs → ours

    @property
    def where(self) -> str:
        return ".".join(filter(None, [self.path, self.prefix.rstrip(".")])) or "its top level"


def best_fit(checkpoint: Mapping[Any, Any], module: nn.Module, classifier: tuple[str, ...]) -> Fit | None:
    """The copy of the network's weights that matches best; None if not one name matches.

    Of equals, the trained copy is taken before the one that follows it (query before key, online before
    target and momentum), except DINO's, which evaluates its teacher; then the first in the file.

    Args:
        checkpoint: what the file holds.
        module: the network.
        classifier: names of its final linear modules, which may be absent or of another width.
    """
    ours = dict(module.state_dict())
    scored = [(_score(copy, matches), copy) for copy, matches in _copies(checkpoint, module, ours)]
    if not scored:
        return None
    _, chosen = max(scored, key=lambda pair: pair[0])
    return _fit(chosen, ours, tuple(f"{name}." for name in classifier))


def tensors_within(checkpoint: object, path: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every dictionary of named tensors in a checkpoint, with the keys that lead to it."""
    if not isinstance(checkpoint, Mapping) or path.count(".") >= _DEPTH:
        return
    named = {key: value for key, value in checkpoint.items() if isinstance(key, str)}
    if tensors := {key: value for key, value in named.items() if isinstance(value, Tensor)}:
        yield path, tensors
    for key, value in named.items():
        yield from tensors_within(value, f"{path}.{key}".lstrip("."))


def _copies(
    checkpoint: Mapping[Any, Any], module: nn.Module, ours: Mapping[str, Tensor]
) -> Iterator[tuple[_Copy, tuple[int, int]]]:
    """Every place where at least one name matches, with how many match in shape too, and in name."""
    for path, tensors in tensors_within(checkpoint):
        for spell in _SPELLINGS:
            spelling = spell(module, ours)
            for prefix, matches in _prefixes(tensors, spelling, ours).items():
                yield _Copy(path, prefix, tensors, spelling), matches


def _prefixes(
    tensors: Mapping[str, Tensor], spelling: Mapping[str, str], ours: Mapping[str, Tensor]
) -> dict[str, tuple[int, int]]:
    """Prefix → how many of our names stand behind it with our shape, and how many at all."""
    named: Counter[str] = Counter()
    shaped: Counter[str] = Counter()
    for key, tensor in tensors.items():
        parts = key.split(".")
        for start in range(len(parts)):
            name = spelling.get(".".join(parts[start:]))
            if name is not None and not name.endswith(_UNTRACKED):
                prefix = "".join(f"{part}." for part in parts[:start])
                named[prefix] += 1
                shaped[prefix] += ours[name].shape == tensor.shape
    return {prefix: (shaped[prefix], count) for prefix, count in named.items()}


def _score(copy: _Copy, matches: tuple[int, int]) -> tuple[int, int, bool]:
    return (*matches, _COPIES.isdisjoint(re.split(r"[._]", f"{copy.path}.{copy.prefix}")))


def _fit(copy: _Copy, ours: Mapping[str, Tensor], classifier: tuple[str, ...]) -> Fit:
    weights: dict[str, Tensor] = {}
    misshapen: dict[str, str] = {}
    unexpected = []
    for key, tensor in copy.tensors.items():
        if not key.startswith(copy.prefix):
            continue
        rest = key.removeprefix(copy.prefix)
        name = copy.spelling.get(rest)
        if name is None:
            if not _HEADS.match(rest.split(".")[0]):
                unexpected.append(key)
        elif tensor.shape == ours[name].shape:
            weights[name] = tensor
        elif not name.startswith(classifier):
            misshapen[name] = f"{key} {list(tensor.shape)}, not {list(ours[name].shape)}"
    wanted = (name for name in ours if not name.endswith(_UNTRACKED) and not name.startswith(classifier))
    missing = tuple(name for name in wanted if name not in weights and name not in misshapen)
    return Fit(copy.where, weights, missing, tuple(misshapen.values()), tuple(unexpected))


def _as_ours(module: nn.Module, ours: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: name for name in ours}


def _by_position(module: nn.Module, ours: Mapping[str, Tensor]) -> dict[str, str]:
    """``nn.Sequential(*network.children())``: children by number (lightly's examples, SimCLR copies)."""
    number = {name: str(i) for i, (name, _) in enumerate(module.named_children())}
    return {_with_first(name, number): name for name in ours}


def _with_first(name: str, first: Mapping[str, str]) -> str:
    head, dot, rest = name.partition(".")
    return first.get(head, head) + dot + rest


def _with_shortcuts(module: nn.Module, ours: Mapping[str, Tensor]) -> dict[str, str]:
    """Residual networks whose ``downsample`` is called ``shortcut`` (SupContrast)."""
    return {name.replace(".downsample.", ".shortcut."): name for name in ours}


_Spelling = Callable[[nn.Module, Mapping[str, Tensor]], dict[str, str]]
_SPELLINGS: tuple[_Spelling, ...] = (_as_ours, _with_shortcuts, _by_position)
