"""Error message for a GPU with too little memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..core.errors import ModelError


@contextmanager
def oom_hint(subject: str, remedy: str) -> Iterator[None]:
    """Turn an out-of-memory error of the GPU into an error with a remedy.

    Args:
        subject: options or work that need the memory, such as ``--batch 8``.
        remedy: options that need less memory.

    Raises: ModelError: with both.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(f"The GPU has too little memory for {subject}: try {remedy}.") from error
