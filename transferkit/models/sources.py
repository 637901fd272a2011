"""The data sets that a network was trained on, as a checkpoint of transferkit keeps them in its header."""

import json
from collections.abc import Sequence
from pathlib import Path

_KEY = "transferkit trained on"


def trained_on_header(trained_on: Sequence[str]) -> dict[str, str]:
    """Return what the header of a safetensors file says of the data sets; nothing where there are none.

    Args:
        trained_on: specs of data sets, the first one first.
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
    except (OSError, SafetensorError, ValueError):  # whoever reads the weights says what is wrong
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()
