"""Pooled outputs of several layers in one forward pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ModelError
from .encoder import Encoder
from .ending import LAST, known_ending
from .hooks import captured_outputs, first_tensor, named_modules, observed
from .pooling import Tokens, fitting_pooling, is_patch_embedding, pool, require_fit
from .tracing import trace


@contextmanager
def pooled_outputs(
    encoder: Encoder, layers: Sequence[str], pooling: str | None = None
) -> Iterator[Callable[[Tensor], dict[str, Tensor]]]:
    """Yield a function from normalised images ``[b, 3, h, w]`` on the encoder's device to features of layers.

    The function returns layer → ``[b, d]`` float32, in the order of ``layers``. Maps and tokens are pooled
    immediately, so that their memory is freed and a later in-place module cannot change them. The first call runs
    the whole network, to check that each layer runs once; later calls stop after the last layer.

    Args:
        encoder: the encoder, which stays in evaluation mode.
        layers: names of layers, as in ``Layer.name``.
        pooling: pooling of all layers; None is the encoder's own if it fits a layer, otherwise the mean over
            positions.

    Raises:
        UnknownNameError: if a name is no module of the encoder.
        ModelError: raised by the function if a layer does not run, runs twice, or does not support the pooling.
    """
    module, tokens = encoder.module, Tokens(encoder.module)
    ending = (known_ending(module) or trace(encoder).ending) if LAST in layers else None

    rows = 0

    def count_patches(name: str, _inputs: Any, output: Any) -> None:
        if (tensor := first_tensor(output, rows=rows)) is not None:
            tokens.see(name, tensor.shape)

    def keep(name: str, output: Any, rows: int) -> Tensor | None:
        if ending is not None and ending.computing:
            return None  # the forward pass itself runs this layer later
        tensor = first_tensor(output, rows=rows)
        form = None if tensor is None else tokens.form_of(tensor.shape, batch=rows)
        if tensor is None or form is None:
            raise ModelError(f"Layer {name!r} returns no map, tokens or vector for each image. Leave it out.")
        chosen = pooling or fitting_pooling(form, encoder.pooling)
        require_fit(name, form, chosen)
        return pool(tensor, form, chosen)

    def pooled(images: Tensor) -> dict[str, Tensor]:
        nonlocal rows
        rows = len(images)
        module.eval()
        with torch.inference_mode():
            return outputs(images)

    embeddings = {name: part for name, part in named_modules(module).items() if is_patch_embedding(name)}
    special = {} if ending is None else {LAST: ending.observed}
    with (
        observed(embeddings, count_patches),  # before the hooks of layers, which may end the forward pass
        captured_outputs(module, layers, keep, once=True, special=special) as outputs,
    ):
        yield pooled
