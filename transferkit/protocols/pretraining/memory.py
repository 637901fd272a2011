"""A GPU that has too little memory, in words."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ...core.errors import ModelError


@contextmanager
def oom_hint(what: str, less: str) -> Iterator[None]:
    """Turn a GPU's refusal into an error fit for a user.

    Args:
        what: there may be no room for, such as ``--batch 8``.
        less: what takes less room.

    Raises: ModelError: with both.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(f"The GPU has too little memory for {what}: try {less}.") from error
