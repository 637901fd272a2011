"""Translation of the names that other programs and publishers give to a network's weights into our names."""

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from typing import Any

import torch
from torch import Tensor, nn

_WRAPPERS = re.compile(
    r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)  # added by torch.compile, FSDP and activation checkpointing around any module
_CHUNKED = re.compile(r"(.*?(?<![^.])blocks)\.(\d+)\.(\d+)\.(.*)")  # DINOv2's block_chunks
_PATCHES = "patch_embed.proj.weight"

_TORCHVISION_LEGACY = (  # names in torchvision's published files, which it renames when it reads them
    (re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"\bmlp\.linear_1\."), "mlp.0."),
    (re.compile(r"\bmlp\.linear_2\."), "mlp.3."),
)

_Filter = Callable[..., Mapping[str, Any]]


def without_wrappers(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors without the name parts of torch's wrappers, and with consecutively numbered blocks.

    >>> list(without_wrappers({"blocks.0._orig_mod.norm.weight": 1}, nn.Identity()))
    ['blocks.0.norm.weight']
    """
    plain = {_WRAPPERS.sub("", name): tensor for name, tensor in tensors.items()}
    chunks = {match.group(1, 2, 3) for name in plain if (match := _CHUNKED.fullmatch(name))}
    if not chunks or _CHUNKED.match(next((n for n in module.state_dict() if ".blocks." in f".{n}"), "")):
        return plain
    counted: dict[tuple[str | Any, ...], int] = {}
    for stem, chunk, index in sorted(chunks, key=lambda one: (one[0], int(one[1]), int(one[2]))):
        counted[stem, chunk, index] = sum(1 for other in counted if other[0] == stem)
    return {_renumbered(name, counted): tensor for name, tensor in plain.items()}


def _renumbered(name: str, counted: Mapping[tuple[str | Any, ...], int]) -> str:
    match = _CHUNKED.fullmatch(name)
    return f"{match[1]}.{counted[match.group(1, 2, 3)]}.{match[4]}" if match else name


@dataclass(frozen=True, eq=False)
class PublishedNames:
    """The renaming that a library applies to files published by it or by the network's authors.

    Attributes:
        library, name, options: Fields of the network as in ``Architecture``; timm's name includes the tag.
    """

    library: str
    name: str
    options: Mapping[str, Any]

    @cached_property
    def _filter(self) -> _Filter | None:
        """Function that converts a state dict to the network's own names and shapes; None if there is none."""
        return _timm_filter(self.name, self.options) if self.library == "timm" else _torchvision_filter

    def renamed(self, tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor] | None:
        """Return the tensors under the network's names, or None if the library cannot read them.

        Position embeddings may be resampled to the network's grid, but not patch embeddings, because a network with
        patches of another size is another network.
        """
        if self._filter is None:
            return None
        try:
            with _silenced():
                renamed = dict(_filtered(self._filter, tensors, module))
        except Exception:  # such a function may raise any error for weights of another network
            return None
        if any(not isinstance(value, Tensor) for value in renamed.values()):
            return None
        sizes = {tensor.numel() for tensor in tensors.values()}
        if any(name.endswith(_PATCHES) and value.numel() not in sizes for name, value in renamed.items()):
            return None
        return renamed | _lost_biases(tensors, renamed)


def _lost_biases(tensors: Mapping[str, Tensor], renamed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return nonzero biases of queries and values that the renaming has dropped."""
    lost = {}
    for name, bias in tensors.items():
        stem = name.removesuffix("qkv.bias")
        theirs = {stem + end for end in ("qkv.bias", "q_bias", "q_proj.bias")}
        if stem != name and not theirs & renamed.keys():
            query, _, value = bias.chunk(3)  # the bias of keys does not affect attention
            if query.any() or value.any():
                lost[name] = bias
    return lost


def _filtered(function: _Filter, tensors: Mapping[str, Tensor], module: nn.Module) -> Mapping[str, Any]:
    try:
        return function(dict(tensors), module)
    except TypeError:  # some functions take only the state dict
        return function(dict(tensors))


def _torchvision_filter(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, ours in _TORCHVISION_LEGACY:
            name = pattern.sub(ours, name)
        renamed[name] = tensor
    return renamed


def _timm_filter(name: str, options: Mapping[str, Any]) -> _Filter | None:
    """Return the function that timm applies to published weights of this network.

    timm passes this function only to the function that loads weights, so the network is created with pretrained
    weights, and the loading function is replaced by one that records the argument.
    """
    import timm
    from timm.models import _builder

    seen: list[_Filter | None] = []
    load = _builder.load_pretrained
    _builder.load_pretrained = lambda *args, filter_fn=None, **kwargs: seen.append(filter_fn)
    try:
        with torch.random.fork_rng(devices=[]):
            timm.create_model(name, pretrained=True, **options)
    finally:
        _builder.load_pretrained = load
    return seen[0] if seen else None


@contextmanager
def _silenced() -> Iterator[None]:
    """Suppress timm's output: it logs each resampled tensor and prints each missing name."""
    logger = logging.getLogger("timm")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logger.setLevel(before)


# Spellings: their name → our name, for a network of the same structure with other names


def _as_ours(module: nn.Module, ours: Collection[str]) -> dict[str, str]:
    return {name: name for name in ours}


def _by_position(module: nn.Module, ours: Collection[str]) -> dict[str, str]:
    """Return names in ``nn.Sequential(*network.children())``, as in lightly's examples and SimCLR copies."""
    number = {name: str(i) for i, (name, _) in enumerate(module.named_children())}
    return {_with_first(name, number): name for name in ours}


def _with_first(name: str, first: Mapping[str, str]) -> str:
    head, dot, rest = name.partition(".")
    return first.get(head, head) + dot + rest


def _with_shortcuts(module: nn.Module, ours: Collection[str]) -> dict[str, str]:
    """Return names in residual networks whose ``downsample`` is called ``shortcut`` (SupContrast)."""
    return {name.replace(".downsample.", ".shortcut."): name for name in ours}


_Spelling = Callable[[nn.Module, Collection[str]], dict[str, str]]
SPELLINGS: tuple[_Spelling, ...] = (_as_ours, _with_shortcuts, _by_position)
