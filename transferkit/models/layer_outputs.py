"""Pooled outputs of several layers in one forward pass."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from ..core.registry import unknown_name
from .encoder import Encoder
from .ending import LAST, known_ending
from .pooling import Tokens, fitting_pooling, is_patch_embedding, pool, require_fit
from .tracing import first_tensor, named_modules, trace


class _Finished(BaseException):
    """Stops a forward pass after all requested layers."""


class Taps:
    """An encoder with hooks at some layers, which maps images to the features of these layers.

    Maps and tokens are pooled immediately, so that their memory is freed and a later in-place module cannot change
    them. The first call runs the whole network and determines which layer runs last; later calls stop there. Close
    it, or use it as a context, to remove the hooks.

    Args:
        encoder: the encoder, which stays in evaluation mode.
        layers: names of layers, as in ``Layer.name``.
        pooling: pooling of all layers; None is the encoder's own if it fits a layer, otherwise the mean over
            positions.

    Raises: UnknownNameError: if a name is no module of the encoder.
    """

    def __init__(self, encoder: Encoder, layers: Sequence[str], pooling: str | None = None) -> None:
        self._module = encoder.module
        self._pooling, self._own = pooling, encoder.pooling
        self._tokens = Tokens(encoder.module)
        self._layers = tuple(dict.fromkeys(layers))
        self._ending = None
        if LAST in self._layers:
            self._ending = known_ending(encoder.module) or trace(encoder).ending
        self._final: str | None = None
        self._batch = 0
        self._found: dict[str, Tensor] = {}
        self._hooks = ExitStack()
        modules = named_modules(encoder.module)
        for name in filter(is_patch_embedding, modules):  # before the hooks of layers, which may stop the pass
            self._hooks.callback(modules[name].register_forward_hook(self._count(name)).remove)
        for name in self._layers:
            self._attach(name, modules)

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the features of all layers.

        Args:
            x: ``[b, 3, h, w]`` normalised images on the encoder's device.

        Returns: layer → ``[b, d]`` float32, in the order in which the layers were given.

        Raises: ModelError: if a layer does not run, runs twice, or does not support the pooling.
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
        self._hooks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attach(self, name: str, modules: dict[str, nn.Module]) -> None:
        if name == LAST and self._ending is not None:
            self._hooks.callback(self._ending.attach(lambda output: self._keep(LAST, output)))
        elif name in modules:
            keep = modules[name].register_forward_hook(lambda _module, _args, output: self._keep(name, output))
            self._hooks.callback(keep.remove)
        else:
            self.close()
            raise unknown_name("layer", name, list(modules))

    def _count(self, name: str) -> Any:
        def see(_module: nn.Module, _args: Any, output: Any) -> None:
            if (tensor := first_tensor(output, rows=self._batch)) is not None:
                self._tokens.see(name, tensor.shape)

        return see

    def _keep(self, name: str, output: Any) -> None:
        if self._ending is not None and self._ending.computing:
            return  # the forward pass itself runs this layer later
        if name in self._found:
            raise ModelError(
                f"Layer {name!r} runs more than once in a forward pass, so its output is ambiguous. "
                "Tap the module around it."
            )
        tensor = first_tensor(output, rows=self._batch)
        form = None if tensor is None else self._tokens.form_of(tensor.shape, batch=self._batch)
        if tensor is None or form is None:
            raise ModelError(f"Layer {name!r} returns no map, tokens or vector for each image. Leave it out.")
        pooling = self._pooling or fitting_pooling(form, self._own)
        require_fit(name, form, pooling)
        self._found[name] = pool(tensor, form, pooling)
        if name == self._final:
            raise _Finished
