"""The data sets that a network was trained on, stored in the header of transferkit's checkpoints."""

import json
from collections.abc import Sequence
from pathlib import Path

_KEY = "transferkit trained on"


def trained_on_header(trained_on: Sequence[str]) -> dict[str, str]:
    """Return the entry of a safetensors header that names the data sets; empty if there are none.

    Args:
        trained_on: specs of data sets, in order.
    """
    return {_KEY: json.dumps(list(trained_on))} if trained_on else {}


def trained_on_of(path: Path) -> tuple[str, ...]:
    """Return the data sets that the header of ``path`` names; none for a file of another program."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        return ()
    try:
        with safe_open(path, framework="pt") as file:
            names = json.loads((file.metadata() or {}).get(_KEY, "[]"))
    except (OSError, SafetensorError, ValueError):  # reading the weights reports the error
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()
