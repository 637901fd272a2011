"""One forward pass, watched: which modules ran, what came out, and what entered the classifier."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from .encoder import Encoder
from .pooling import Form, form_of, prefix_tokens

OUTPUT = "output"  # the layer name of the network's own output
INPUT = ".input"  # behind a classifier's name: what enters it, where no module's output is just that

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
        calls: modules that ran once and whose output has a form, in the order in which they finished.
        last: the name whose output is the representation that enters the classifier.
        classifier: names of the final linear modules; empty for a network that ends in features.
        refused: module → why it is not among the calls.
    """

    calls: tuple[Call, ...]
    last: str
    classifier: tuple[str, ...]
    refused: Mapping[str, str]


def named_modules(module: nn.Module) -> dict[str, nn.Module]:
    """Every module by its dotted name; the network itself is called ``output``."""
    return {name or OUTPUT: part for name, part in module.named_modules()}


def first_tensor(value: Any) -> Tensor | None:
    """``value`` itself, or the first tensor of a tuple, list or mapping; None if there is none."""
    if isinstance(value, Tensor):
        return value
    parts: Iterable[Any] = ()
    if isinstance(value, tuple | list):
        parts = value
    elif isinstance(value, Mapping):
        parts = value.values()
    return next((part for part in parts if isinstance(part, Tensor)), None)


def trace(encoder: Encoder) -> Trace:
    """Run two images of noise, of the view's size, through the network.

    ``last`` is the first module to finish whose output, flattened, equals what enters the final linear
    module; where that is made between modules, it is the classifier's name and ``.input``. In a network
    without a classifier it is the first module whose output is the network's own.

    Raises: ModelError: if the network cannot run on such images.
    """
    module = encoder.module.eval()
    watch = _Watch(module)
    with ExitStack() as hooks, torch.inference_mode():
        for name, part in named_modules(module).items():
            hooks.callback(part.register_forward_hook(watch.hook(name)).remove)
        _run(encoder)
    return watch.summary()


def _run(encoder: Encoder) -> None:
    side = encoder.view.crop
    like = next(encoder.module.parameters(), torch.empty(0))
    try:
        noise = torch.randn(_BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
        encoder.module(noise.to(like))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{encoder.spec} cannot run on {side}×{side} images: {reason} Name a size it takes with --size, "
            f"or build a network of timm for this one with ?img_size={side} behind its name."
        ) from error


@dataclass(frozen=True, eq=False)
class _Seen:
    """One module's output and, for a linear one, its input: flattened copies, if small enough to compare."""

    call: Call
    module: nn.Module
    output: Tensor | None
    entered: Tensor | None


class _Watch:
    """Gathers what the hooks see; copies, because a later module may change a tensor in place."""

    def __init__(self, module: nn.Module) -> None:
        self._modules = named_modules(module)
        self._prefix = prefix_tokens(module)
        self._runs: Counter[str] = Counter()
        self._seen: dict[str, _Seen] = {}

    def hook(self, name: str) -> Any:
        def see(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            self._runs[name] += 1
            self._seen.pop(name, None)
            if (tensor := first_tensor(output)) is not None:
                form = form_of(tensor.shape, batch=_BATCH, prefix=self._prefix)
                linear = isinstance(module, nn.Linear | nn.Conv2d) and len(args) > 0
                entered = _copied(args[0]) if linear else None
                call = Call(name, tensor.shape, form)
                self._seen[name] = _Seen(call, module, _copied(tensor), entered)

        return see

    def summary(self) -> Trace:
        """Sort what was seen into layers and refusals."""
        once = [seen for name, seen in self._seen.items() if self._runs[name] == 1 and seen.call.form]
        classifier = self._classifier(once)
        last, entering = self._last(once, classifier)
        calls = [seen.call for seen in once]
        if entering is not None and last not in self._modules:
            place = next(i for i, seen in enumerate(once) if seen is classifier[0])
            calls.insert(place, Call(last, entering.shape, Form("vector", 1)))
        kept = {call.name for call in calls}
        refused = {name: self._reason(name) for name in self._modules if name not in kept}
        return Trace(tuple(calls), last, tuple(seen.call.name for seen in classifier), refused)

    @property
    def _network(self) -> Tensor | None:
        """The network's own output, if it is a representation."""
        return self._seen[OUTPUT].output if OUTPUT in self._seen else None

    def _reason(self, name: str) -> str:
        if self._runs[name] != 1:
            return f"runs {self._runs[name]} times" if self._runs[name] else "does not run"
        if name in self._seen:
            return (
                f"returns {list(self._seen[name].call.shape)} for {_BATCH} images, no map, tokens or vector"
            )
        return "returns no tensor"

    def _classifier(self, once: list[_Seen]) -> list[_Seen]:
        """The linear module whose output is the network's, or several whose mean is."""
        network = self._network
        heads = [seen for seen in once if seen.call.name != OUTPUT and _is_head(seen, network)]
        for seen in reversed(heads):
            if _equal(seen.output, network):
                return [seen]
        outputs = [seen.output for seen in heads if seen.output is not None]
        if network is not None and outputs and torch.allclose(torch.stack(outputs).mean(0), network):
            return heads
        return []

    def _last(self, once: list[_Seen], classifier: list[_Seen]) -> tuple[str, Tensor | None]:
        """The name of the representation, and what enters the classifier where no module returns it."""
        target = classifier[0].entered if classifier else self._network
        apart = {OUTPUT, *(seen.call.name for seen in classifier)}
        equal = [
            seen.call.name for seen in once if seen.call.name not in apart and _equal(seen.output, target)
        ]
        if equal:
            return self._outermost(equal[0], equal), None
        return (classifier[0].call.name + INPUT, target) if classifier else (OUTPUT, None)

    def _outermost(self, name: str, equal: list[str]) -> str:
        """The largest module without weights around ``name`` that returns the same: a pooling as a whole."""
        for parent in _ancestors(name):
            if parent not in equal or next(self._modules[parent].parameters(), None) is not None:
                break
            name = parent
        return name


def _copied(value: Any) -> Tensor | None:
    """``[2, d]``, or None for what is too large to be a representation, or has no row an image."""
    if not isinstance(value, Tensor) or value.ndim < 2 or len(value) != _BATCH:
        return None
    return value.flatten(1).clone() if value[0].numel() <= _KEPT else None


def _is_head(seen: _Seen, network: Tensor | None) -> bool:
    """Whether this is a linear module, or a convolution of one pixel, with an output like the network's."""
    if seen.entered is None or seen.output is None or network is None:
        return False
    inputs = seen.module.in_features if isinstance(seen.module, nn.Linear) else seen.module.in_channels
    return seen.entered.shape[1] == inputs and seen.output.shape == network.shape


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is not None and b is not None and a.shape == b.shape and torch.equal(a, b)


def _ancestors(name: str) -> Iterator[str]:
    """``a.b`` and ``a`` for ``a.b.c``."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
