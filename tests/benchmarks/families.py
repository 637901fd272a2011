"""Every family of timm: is ``last`` its representation, and are ``stages`` its stages?

Takes the smallest network of each class of each module of timm and prints what differs from timm's own
``forward_head`` and ``forward_intermediates``. It takes up to an hour on two cores; the networks that differ
in kind are in the test suite. These lines are expected: VGG has no blocks, and CoaT's stages are its
serial ones.

    python -m tests.benchmarks.families [MODULE …]
"""

import sys
from collections.abc import Iterator, Sequence

import timm
import torch

from tests.models.families import differences

_LARGEST = 2e14  # parameters times pixels: beyond it, a forward pass takes minutes


def smallest_networks(modules: list[str]) -> Iterator[str]:
    """Yield the name of the network with the fewest parameters times pixels of each class."""
    for module in modules:
        best: dict[str, tuple[float, str]] = {}
        for name in timm.list_models(module=module):
            with torch.device("meta"):
                network = timm.create_model(name)
            cost = sum(part.numel() for part in network.parameters()) * network.default_cfg["input_size"][-1] ** 2
            kind = type(network).__name__
            best[kind] = min(best.get(kind, (float("inf"), "")), (cost, name))
        yield from (name for cost, name in best.values() if cost <= _LARGEST)


def compare(name: str) -> list[str]:
    """Return the differences, or the error of a network that fails, so that it does not end the run."""
    try:
        return differences(name) or [f"{name}: as timm has it"]
    except Exception as error:  # from any network's own code
        return [f"{name}: {type(error).__name__}: {error}"]


def main(modules: Sequence[str] = ()) -> None:
    """Print one line per network of some modules of timm; of all of them, where none is named."""
    for name in smallest_networks(list(modules) or timm.list_modules()):
        print("\n".join(compare(name)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
