"""Tap several layers in one forward pass, and keep only what pooling leaves of them."""

from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..core.errors import ModelError
from ..core.registry import unknown_name
from .encoder import Encoder
from .pooling import form_of, pool, prefix_tokens, require_fit
from .tracing import INPUT, first_tensor, named_modules


class _Finished(BaseException):
    """Ends a forward pass once everything that was asked for has been seen."""


class Taps:
    """An encoder with hooks at some layers: call it with images, get their features.

    Maps and tokens are pooled as soon as they exist, so that they are freed at once and a later module
    that works in place cannot change them. The first call runs the whole network and so finds out which
    layer comes last; later calls stop there. Close it, or use it as a context, to remove the hooks.

    Args:
        encoder: stays in evaluation mode.
        layers: names, as in ``Layer.name``.
        pooling: None is the encoder's own.

    Raises: UnknownNameError: for a name that is no module of the encoder.
    """

    def __init__(self, encoder: Encoder, layers: Sequence[str], pooling: str | None = None) -> None:
        self._module = encoder.module
        self._pooling = pooling or encoder.pooling
        self._prefix = prefix_tokens(encoder.module)
        self._layers = tuple(dict.fromkeys(layers))
        self._final: str | None = None
        self._batch = 0
        self._found: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        modules = named_modules(encoder.module)
        for name in self._layers:
            self._handles.append(self._attach(name, modules))

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Features of every layer.

        Args:
            x: ``[b, 3, h, w]``, normalised, on the encoder's device.

        Returns: layer → ``[b, d]`` float32, in the order in which the layers were given.

        Raises: ModelError: if a layer does not run, runs twice, or does not take the pooling.
        """
        self._found, self._batch = {}, len(x)
        self._module.eval()
        with torch.inference_mode(), suppress(_Finished):
            self._module(x)
        found, self._found = self._found, {}
        for name in self._layers:
            if name not in found:
                raise ModelError(f"Layer {name!r} did not run in a forward pass. Leave it out.")
        self._final = next(reversed(found), None)
        return {name: found[name] for name in self._layers}

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attach(self, name: str, modules: dict[str, nn.Module]) -> RemovableHandle:
        if name in modules:
            return modules[name].register_forward_hook(
                lambda _module, _args, output: self._keep(name, output)
            )
        classifier = name.removesuffix(INPUT)
        if name.endswith(INPUT) and classifier in modules:
            return modules[classifier].register_forward_pre_hook(lambda _module, args: self._keep(name, args))
        self.close()
        raise unknown_name("layer", name, list(modules))

    def _keep(self, name: str, output: Any) -> None:
        if name in self._found:
            raise ModelError(
                f"Layer {name!r} runs more than once in a forward pass, so its output is ambiguous. "
                "Tap the module around it."
            )
        tensor = first_tensor(output)
        form = None if tensor is None else form_of(tensor.shape, batch=self._batch, prefix=self._prefix)
        if tensor is None or form is None:
            raise ModelError(f"Layer {name!r} returns no map, tokens or vector for each image. Leave it out.")
        require_fit(name, form, self._pooling)
        self._found[name] = pool(tensor, form, self._pooling)
        if name == self._final:
            raise _Finished
