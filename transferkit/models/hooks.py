"""Forward hooks: observe the modules of a network, capture outputs of layers, and end a forward pass early.

All hooks of the library are registered here, by context managers that always remove them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..core.errors import ModelError
from ..core.registry import unknown_name

OUTPUT = "output"  # the layer name of the network's own output


class _EndForwardPass(BaseException):
    """Ends a forward pass after the last captured layer; ``except Exception`` in a network does not catch it."""


def named_modules(module: nn.Module) -> dict[str, nn.Module]:
    """Return all modules by their dotted names; ``output`` is the network itself, also if a child has that name."""
    children = {name: part for name, part in module.named_modules() if name not in ("", OUTPUT)}
    return {OUTPUT: module, **children}


def first_tensor(value: Any, *, rows: int | None = None) -> Tensor | None:
    """Return ``value`` if it is a tensor, otherwise the first tensor of a tuple, list or mapping, or None.

    Args:
        value: output of a module.
        rows: number of images; of several tensors, the first one with so many rows is preferred.
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


@contextmanager
def observed(modules: Mapping[str, nn.Module], observe: Callable[[str, tuple[Any, ...], Any], None]) -> Iterator[None]:
    """Call ``observe`` with name, positional inputs and output of a module each time that it has run.

    Args:
        modules: modules by the names that ``observe`` receives; a module may have several names.
        observe: function that does not change the output.
    """

    def hook(name: str, _module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        observe(name, inputs, output)

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_hook(partial(hook, name)))
        yield


@contextmanager
def observed_input(module: nn.Module, observe: Callable[[Any], None]) -> Iterator[None]:
    """Call ``observe`` with the first positional input of a module each time before it runs."""

    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        observe(inputs[0])

    with module.register_forward_pre_hook(hook):
        yield


@contextmanager
def replaced_method(module: nn.Module, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """Replace a method of one module, such as ``forward``, while the context is active."""
    own = vars(module)
    before = own.get(name)
    own[name] = method
    try:
        yield
    finally:
        del own[name]  # restores the method of the class
        if before is not None:
            own[name] = before


def copied_output(name: str, output: Any, rows: int) -> Tensor:
    """Return a copy of the first tensor that a layer returns, because a later module may change it in place.

    Raises: ModelError: if there is no tensor.
    """
    tensor = first_tensor(output, rows=rows)
    if tensor is None:
        raise ModelError(f"Layer {name!r} returns no tensor. Leave it out.")
    return tensor.clone()


@contextmanager
def captured_outputs(
    network: nn.Module,
    layers: Sequence[str],
    keep: Callable[[str, Any, int], Tensor | None] = copied_output,
    *,
    once: bool = False,
    special: Mapping[str, Callable[[Callable[[Any], None]], AbstractContextManager[None]]] | None = None,
) -> Iterator[Callable[[Tensor], dict[str, Tensor]]]:
    """Yield a function that runs ``network`` on images until all ``layers`` have run, and returns their outputs.

    The function maps ``[b, 3, h, w]`` normalised images to layer → output, in the order of ``layers``. Gradients
    flow through the outputs. Other forward passes of the network are not affected.

    Args:
        network: the network; its mode is not changed.
        layers: one or more names of modules, as in ``Layer.name``.
        keep: function from name, output and number of images to the tensor that is kept, called immediately
            after the layer; it returns None to ignore the call.
        once: True to reject layers that run more than once; the first forward pass is complete then.
        special: layers that are no outputs of modules: name → context manager that passes the value to a function.

    Raises:
        UnknownNameError: if a layer is neither a module nor special.
        ModelError: raised by the function if a layer does not run, runs again, or returns no tensor.
    """
    modules, special = named_modules(network), special or {}
    found: dict[str, Tensor] = {}
    rows: int | None = None  # None outside of the function's forward passes
    may_end = not once

    def see(name: str, output: Any) -> None:
        if rows is None or (value := keep(name, output, rows)) is None:
            return
        if once and name in found:
            raise ModelError(
                f"Layer {name!r} runs more than once in a forward pass, so its output is ambiguous. "
                "Name the module around it."
            )
        found[name] = value
        if may_end and len(found) == len(names):
            raise _EndForwardPass

    def outputs(images: Tensor) -> dict[str, Tensor]:
        nonlocal rows, may_end
        rows = len(images)
        try:
            with suppress(_EndForwardPass):
                network(images)
            for name in names:
                if name not in found:
                    raise ModelError(f"Layer {name!r} did not run in a forward pass. Leave it out.")
            may_end = True
            return {name: found[name] for name in names}
        finally:
            rows = None
            found.clear()

    names = tuple(dict.fromkeys(layers))
    with ExitStack() as hooks:
        for name in names:
            if name in special:
                hooks.enter_context(special[name](partial(see, name)))
            elif name in modules:
                hooks.enter_context(observed({name: modules[name]}, lambda name, _inputs, output: see(name, output)))
            else:
                raise unknown_name("layer", name, list(modules))
        yield outputs
