"""What layers return, as it is: maps before any pooling, through which gradients reach the images."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from torch import Tensor, nn

from ..core.errors import ModelError
from ..core.registry import unknown_name
from .encoder import Encoder
from .tracing import first_tensor, named_modules


class _Reached(BaseException):
    """Ends a forward pass once everything that was asked for has been seen."""


@contextmanager
def captured_outputs(encoder: Encoder, layers: Sequence[str]) -> Iterator[Callable[[Tensor], dict[str, Tensor]]]:
    """Hooks at some layers while the context lasts; the pass stops at the last of them.

    Args:
        encoder: stays in evaluation mode.
        layers: names of modules, as in ``Layer.name``, each of which runs once; one or more.

    Yields: from ``[b, 3, h, w]``, normalised, to layer → ``[b, …]``, a copy of its first output.

    Raises:
        UnknownNameError: for a name that is no module of the encoder.
        ModelError: by the function, if a layer did not run.
    """
    module, modules = encoder.module.eval(), named_modules(encoder.module)
    names, found, rows = tuple(dict.fromkeys(layers)), dict[str, Tensor](), 0

    def keeping(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            if (tensor := first_tensor(output, rows=rows)) is not None:
                found[name] = tensor.clone()  # a later module may work in place
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
            hooks.callback(modules[name].register_forward_hook(keeping(name)).remove)
        yield outputs
