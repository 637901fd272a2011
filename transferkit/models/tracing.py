"""The trace of one forward pass: modules that ran, their outputs, and the representation among these."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from .encoder import Encoder
from .ending import LAST, Ending, known_ending, stops_before_classifier
from .hooks import OUTPUT, first_tensor, named_modules, observed
from .pooling import Form, Tokens

_SEEN_LAST = ".last"  # key of the representation; no name of a module begins with a dot
_BATCH = 2
_MAX_VALUES = 65536  # values per image; larger outputs are not compared with the input of the classifier


@dataclass(frozen=True, eq=False)
class Call:
    """The output of one module.

    Attributes:
        name: Name of the module.
        shape: Shape of its output, including the batch.
        form: Meaning of the axes; None if the output cannot be pooled to vectors.
    """

    name: str
    shape: torch.Size
    form: Form | None


@dataclass(frozen=True, eq=False)
class Trace:
    """The result of a traced forward pass.

    Attributes:
        calls: Outputs of modules that ran once and whose output has a form, in the order in which they finished,
            including the representation ``last`` if there is one.
        ending: Location of the representation.
        refused: Module → reason why it is not among the calls.
    """

    calls: tuple[Call, ...]
    ending: Ending
    refused: Mapping[str, str]

    @property
    def classifier(self) -> tuple[str, ...]:
        """Names of the modules that make logits; empty for a network that ends in features."""
        return self.ending.classifier


def trace(encoder: Encoder) -> Trace:
    """Run two images of noise, of the size of the preprocessing, through the network.

    If the ending is not known from the library, the classifier is the linear module whose output is the network's
    output, or whose output the network converts to probabilities. In a network without a classifier, the
    representation is the network's output.

    Raises: ModelError: if the network cannot run on such images.
    """
    module = encoder.module.eval()
    tracer = _Tracer(module)
    last = nullcontext() if tracer.ending is None else tracer.ending.observed(tracer.see_last)
    with observed(named_modules(module), tracer.see), last, torch.inference_mode():
        _run(encoder)
    return tracer.summary(encoder.spec)


def _run(encoder: Encoder) -> None:
    side = encoder.preprocessing.crop
    like = next(encoder.module.parameters(), torch.empty(0))
    try:
        noise = torch.randn(_BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
        encoder.module(noise.to(like))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelError(
            f"{encoder.spec} cannot run on {side}×{side} images: {reason}. Name a size it takes with --size, "
            f"or build a network of timm for this one with ?img_size={side} after its name."
        ) from error


@dataclass(frozen=True, eq=False)
class _ModuleRecord:
    """One module's output and, for a linear one, its input: flattened copies, if small enough to compare."""

    call: Call
    module: nn.Module | None
    output: Tensor | None = None
    entered: Tensor | None = None
    entered_shape: torch.Size | None = None


class _Tracer:
    """Collects copies of the outputs that hooks receive; a later module may change a tensor in place."""

    def __init__(self, module: nn.Module) -> None:
        self.ending = known_ending(module)
        self._module = module
        self._modules = named_modules(module)
        self._tokens = Tokens(module)
        self._runs: Counter[str] = Counter()
        self._before_classifier: set[str] = set()
        self._seen: dict[str, _ModuleRecord] = {}

    def see(self, name: str, inputs: tuple[Any, ...], output: Any) -> None:
        """Record one call of a module."""
        if self.ending is not None and self.ending.computing:
            self._before_classifier.add(name)
            return
        self._runs[name] += 1
        self._seen.pop(name, None)
        if (tensor := first_tensor(output, rows=_BATCH)) is not None:
            self._tokens.see(name, tensor.shape)
            call = Call(name, tensor.shape, self._tokens.form_of(tensor.shape, batch=_BATCH))
            module = self._modules[name]
            linear = self.ending is None and isinstance(module, nn.Linear | nn.Conv2d) and len(inputs) > 0
            entered = inputs[0] if linear else None
            shape = None if entered is None else entered.shape
            self._seen[name] = _ModuleRecord(call, module, _copied(tensor), _copied(entered), shape)

    def see_last(self, value: Any) -> None:
        """Record the representation of a network whose ending is known."""
        self._runs[_SEEN_LAST] += 1
        self._seen.pop(_SEEN_LAST, None)
        if isinstance(value, Tensor):
            self._add_last(value.shape)

    def _add_last(self, shape: torch.Size) -> None:
        form = self._tokens.form_of(shape, batch=_BATCH)
        self._seen[_SEEN_LAST] = _ModuleRecord(Call(LAST, shape, form), None)

    def summary(self, spec: str) -> Trace:
        """Divide the recorded modules into layers and refused modules."""
        ending = self.ending or self._traced_ending(spec)
        if self.ending is None and not ending.refused:
            self._insert_last(ending)
        if stops_before_classifier(self._module) and _SEEN_LAST in self._runs:
            ending.classifier = tuple(self._after_representation())
        kept = {name: seen.call for name, seen in self._seen.items() if self._runs[name] == 1 and seen.call.form}
        refused = {name: self._reason(name) for name in self._modules if name not in kept}
        kept.pop(LAST, None)  # the representation replaces a module of this name
        if _SEEN_LAST not in kept:
            refused[LAST] = self._reason(_SEEN_LAST)
        return Trace(tuple(kept.values()), ending, refused)

    def _after_representation(self) -> Iterator[str]:
        """Yield the outermost modules with weights that ran in the head after the representation."""
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
        """Insert the representation before the classifier, or at the end."""
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
        """Find the linear module whose output is the network's output, or becomes it without further weights."""
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
    """Return a copy ``[2, d]``, or None for values that are too large or have no row per image."""
    if not isinstance(value, Tensor) or value.ndim < 2 or len(value) != _BATCH:
        return None
    return value.flatten(1).clone() if value[0].numel() <= _MAX_VALUES else None


def _is_head(seen: _ModuleRecord, network: Tensor | None) -> bool:
    """Return whether this is a linear module or 1×1 convolution whose output has the shape of the network's."""
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
    """Return whether the output is rectified or has unit length, which logits are not.

    A ReLU produces exact zeros; logits may all be positive, but none is exactly 0.
    """
    unit = torch.allclose(output.norm(dim=1), output.new_ones(len(output)), atol=1e-3)
    rectified = bool((output >= 0).all() and (output == 0).any())
    return (unit or rectified) and not _is_probability(output)


def _is_probability(output: Tensor) -> bool:
    """Return whether rows are the output of a softmax, or its logarithm."""
    ones = output.new_ones(len(output))
    log = bool((output <= 0).all()) and torch.allclose(output.exp().sum(1), ones, atol=1e-3)
    return log or (bool((output >= 0).all()) and torch.allclose(output.sum(1), ones, atol=1e-3))
