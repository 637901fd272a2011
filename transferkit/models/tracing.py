"""One forward pass, watched: which modules ran, what came out, and which of it is the representation."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from .encoder import Encoder
from .ending import LAST, Ending, known_ending, stops_before_classifier
from .pooling import Form, Tokens

OUTPUT = "output"  # the layer name of the network's own output

_SEEN_LAST = ".last"  # stands for the representation among names of modules, none of which has a dot in front
_BATCH = 2
_KEPT = 65536  # values an image: larger outputs are not compared with what enters the classifier


@dataclass(frozen=True, eq=False)
class Call:
    """What one module returned.

    Attributes:
        name: of the module.
        shape: of its output, with the batch.
        form: what the axes mean; None if there is no vector to be had from it.
    """

    name: str
    shape: torch.Size
    form: Form | None


@dataclass(frozen=True, eq=False)
class Trace:
    """What a forward pass showed.

    Attributes:
        calls: modules that ran once and whose output has a form, in the order in which they finished; among
            them ``last``, the representation, where it was seen.
        ending: where the representation is found.
        refused: module → why it is not among the calls.
    """

    calls: tuple[Call, ...]
    ending: Ending
    refused: Mapping[str, str]

    @property
    def classifier(self) -> tuple[str, ...]:
        """Names of the modules that make logits; empty for a network that ends in features."""
        return self.ending.classifier


def named_modules(module: nn.Module) -> dict[str, nn.Module]:
    """Every module by its dotted name; the network itself is called ``output``."""
    return {name or OUTPUT: part for name, part in module.named_modules()}


def first_tensor(value: Any, *, rows: int | None = None) -> Tensor | None:
    """``value`` itself, or the first tensor of a tuple, list or mapping; None if there is none.

    Args:
        value: what a module returned.
        rows: a tensor of several that has as many rows, one per image, is preferred to the first.
    """
    if isinstance(value, Tensor):
        return value
    parts: Iterable[Any] = ()
    if isinstance(value, tuple | list):
        parts = value
    elif isinstance(value, Mapping):
        parts = value.values()
    tensors = [part for part in parts if isinstance(part, Tensor)]
    fitting = [part for part in tensors if rows is not None and part.shape[:1] == (rows,)]
    return next(iter([*fitting, *tensors]), None)


def trace(encoder: Encoder) -> Trace:
    """Run two images of noise, of the view's size, through the network.

    Where the ending is not known from the library, the classifier is the linear module whose output is the
    network's own, or whose output the network turns into probabilities. In a network without a classifier,
    the representation is the network's own output.

    Raises: ModelError: if the network cannot run on such images.
    """
    module = encoder.module.eval()
    watch = _Watch(module)
    with ExitStack() as hooks, torch.inference_mode():
        for name, part in named_modules(module).items():
            hooks.callback(part.register_forward_hook(watch.hook(name)).remove)
        if watch.ending is not None:
            hooks.callback(watch.ending.attach(watch.see_last))
        _run(encoder)
    return watch.summary(encoder.spec)


def _run(encoder: Encoder) -> None:
    side = encoder.view.crop
    like = next(encoder.module.parameters(), torch.empty(0))
    try:
        noise = torch.randn(_BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
        encoder.module(noise.to(like))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelError(
            f"{encoder.spec} cannot run on {side}×{side} images: {reason}. Name a size it takes with --size, "
            f"or build a network of timm for this one with ?img_size={side} behind its name."
        ) from error


@dataclass(frozen=True, eq=False)
class _ModuleRecord:
    """One module's output and, for a linear one, its input: flattened copies, if small enough to compare."""

    call: Call
    module: nn.Module | None
    output: Tensor | None = None
    entered: Tensor | None = None
    entered_shape: torch.Size | None = None


class _Watch:
    """Gathers what the hooks see; copies, because a later module may change a tensor in place."""

    def __init__(self, module: nn.Module) -> None:
        self.ending = known_ending(module)
        self._module = module
        self._modules = named_modules(module)
        self._tokens = Tokens(module)
        self._runs: Counter[str] = Counter()
        self._before_classifier: set[str] = set()
        self._seen: dict[str, _ModuleRecord] = {}

    def hook(self, name: str) -> Any:
        def see(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if self.ending is not None and self.ending.computing:
                self._before_classifier.add(name)
                return
            self._runs[name] += 1
            self._seen.pop(name, None)
            if (tensor := first_tensor(output, rows=_BATCH)) is not None:
                self._tokens.see(name, tensor.shape)
                call = Call(name, tensor.shape, self._tokens.form_of(tensor.shape, batch=_BATCH))
                linear = self.ending is None and isinstance(module, nn.Linear | nn.Conv2d) and len(args) > 0
                entered = args[0] if linear else None
                shape = None if entered is None else entered.shape
                self._seen[name] = _ModuleRecord(call, module, _copied(tensor), _copied(entered), shape)

        return see

    def see_last(self, value: Any) -> None:
        """Take the representation of a network whose ending is known."""
        self._runs[_SEEN_LAST] += 1
        self._seen.pop(_SEEN_LAST, None)
        if isinstance(value, Tensor):
            self._add_last(value.shape)

    def _add_last(self, shape: torch.Size) -> None:
        form = self._tokens.form_of(shape, batch=_BATCH)
        self._seen[_SEEN_LAST] = _ModuleRecord(Call(LAST, shape, form), None)

    def summary(self, spec: str) -> Trace:
        """Sort what was seen into layers and refusals."""
        ending = self.ending or self._traced_ending(spec)
        if self.ending is None and not ending.refused:
            self._insert_last(ending)
        if stops_before_classifier(self._module) and _SEEN_LAST in self._runs:
            ending.classifier = tuple(self._after_representation())
        kept = {name: seen.call for name, seen in self._seen.items() if self._runs[name] == 1 and seen.call.form}
        refused = {name: self._reason(name) for name in self._modules if name not in kept}
        kept.pop(LAST, None)  # a module of this name gives way to the representation
        if _SEEN_LAST not in kept:
            refused[LAST] = self._reason(_SEEN_LAST)
        return Trace(tuple(kept.values()), ending, refused)

    def _after_representation(self) -> Iterator[str]:
        """The outermost modules with weights that ran in the head, but not for the representation."""
        ran = list(self._runs)
        later = ran[ran.index(_SEEN_LAST) + 1 :]
        apart = [name for name in later if name != OUTPUT and name not in self._before_classifier]
        for name in apart:
            if _has_weights(self._modules[name]) and not any(name.startswith(f"{outer}.") for outer in apart):
                yield name

    def _reason(self, name: str) -> str:
        if self._runs[name] != 1:
            return f"runs {self._runs[name]} times" if self._runs[name] else "does not run"
        if name in self._seen:
            return f"returns {list(self._seen[name].call.shape)} for {_BATCH} images, no map, tokens or vector"
        return "returns no tensor"

    def _insert_last(self, ending: Ending) -> None:
        """Put the representation before the classifier, or at the end."""
        seen = dict(self._seen)
        self._seen.clear()
        self._runs[_SEEN_LAST] = 1
        for name, one in seen.items():
            if name == ending.entered and one.entered_shape is not None:
                self._add_last(one.entered_shape)
            self._seen[name] = one
        if not ending.entered and OUTPUT in seen:
            self._add_last(seen[OUTPUT].call.shape)

    def _traced_ending(self, spec: str) -> Ending:
        """The linear module whose output is the network's, or becomes it without further weights."""
        network = self._seen[OUTPUT].output if OUTPUT in self._seen else None
        once = [seen for name, seen in self._seen.items() if self._runs[name] == 1]
        heads = [seen.call.name for seen in once if seen.call.name != OUTPUT and _is_head(seen, network)]
        for name in reversed(heads):
            if _equal(self._seen[name].output, network):
                return Ending(self._module, (name,), entered=name)
        weighted = [seen.call.name for seen in once if _is_weighted_leaf(seen.module)]
        if network is None or not heads or weighted[-1:] != heads[-1:] or _is_feature(network):
            return Ending(self._module)
        if len(heads) == 1 and _is_probability(network):
            return Ending(self._module, (heads[0],), entered=heads[0])
        return Ending(
            self._module,
            refused=f"{spec} has no layer 'last': its output is computed from that of {' and '.join(heads)}, "
            "and may be logits or features. Name a layer instead, such as --layers output.",
        )


def _copied(value: Any) -> Tensor | None:
    """``[2, d]``, or None for what is too large to be a representation, or has no row an image."""
    if not isinstance(value, Tensor) or value.ndim < 2 or len(value) != _BATCH:
        return None
    return value.flatten(1).clone() if value[0].numel() <= _KEPT else None


def _is_head(seen: _ModuleRecord, network: Tensor | None) -> bool:
    """Whether this is a linear module, or a convolution of one pixel, with an output like the network's."""
    if seen.entered is None or seen.output is None or network is None:
        return False
    inputs = seen.module.in_features if isinstance(seen.module, nn.Linear) else cast(nn.Conv2d, seen.module).in_channels
    return seen.entered.shape[1] == inputs and seen.output.shape == network.shape


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is not None and b is not None and a.shape == b.shape and torch.equal(a, b)


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _is_weighted_leaf(module: nn.Module | None) -> bool:
    return module is not None and next(module.parameters(recurse=False), None) is not None


def _is_feature(output: Tensor) -> bool:
    """Whether it went through a ReLU or was given unit length, which is not done to logits.

    A ReLU leaves exact zeros; logits may all be positive, but none is exactly 0.
    """
    unit = torch.allclose(output.norm(dim=1), output.new_ones(len(output)), atol=1e-3)
    rectified = bool((output >= 0).all() and (output == 0).any())
    return (unit or rectified) and not _is_probability(output)


def _is_probability(output: Tensor) -> bool:
    """Whether rows are the softmax of something, or its logarithm."""
    ones = output.new_ones(len(output))
    log = bool((output <= 0).all()) and torch.allclose(output.exp().sum(1), ones, atol=1e-3)
    return log or (bool((output >= 0).all()) and torch.allclose(output.sum(1), ones, atol=1e-3))
