"""Outputs of layers without pooling, through which gradients can flow back to the images."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from torch import Tensor, nn

from ..core.errors import ModelError
from ..core.registry import unknown_name
from .encoder import Encoder
from .tracing import first_tensor, named_modules


class _Reached(BaseException):
    """Stops a forward pass after all requested layers."""


@contextmanager
def captured_outputs(encoder: Encoder, layers: Sequence[str]) -> Iterator[Callable[[Tensor], dict[str, Tensor]]]:
    """Add hooks to layers while the context is active; a forward pass stops at the last of these layers.

    Args:
        encoder: the encoder, which stays in evaluation mode.
        layers: one or more names of modules that run once, as in ``Layer.name``.

    Yields: a function from normalised images ``[b, 3, h, w]`` to layer → ``[b, …]``, a copy of its first output.

    Raises:
        UnknownNameError: if a name is no module of the encoder.
        ModelError: raised by the function if a layer did not run.
    """
    module, modules = encoder.module.eval(), named_modules(encoder.module)
    names, found, rows = tuple(dict.fromkeys(layers)), dict[str, Tensor](), 0

    def make_hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            if (tensor := first_tensor(output, rows=rows)) is not None:
                found[name] = tensor.clone()  # a later module may change it in place
            if len(found) == len(names):
                raise _Reached

        return keep

    def outputs(x: Tensor) -> dict[str, Tensor]:
        nonlocal rows
        found.clear()
        rows = len(x)
        with suppress(_Reached):
            module(x)
        if missing := [name for name in names if name not in found]:
            raise ModelError(f"Layer {missing[0]!r} returned no tensor in a forward pass. Leave it out.")
        return {name: found.pop(name) for name in names}

    with ExitStack() as hooks:
        for name in names:
            if name not in modules:
                raise unknown_name("layer", name, list(modules))
            hooks.callback(modules[name].register_forward_hook(make_hook(name)).remove)
        yield outputs
