"""Choose among the copies of a network's weights in one checkpoint.

Training programs save several copies: the trained network and its moving average, a teacher and a student, a
target encoder and the encoder that predicts it. Each method has a convention for the copy that is evaluated:

======================================  ====================================================================
copies in the file                      copy that is loaded
======================================  ====================================================================
``encoder`` and ``target_encoder``,     the target encoder, which I-JEPA, V-JEPA and MSN evaluate
side by side as dictionaries
``teacher`` and ``student``             the teacher, which DINO, iBOT and DINOv2 evaluate
weights and their moving average        the average (``model_ema``, ``state_dict_ema``, ``params_ema``),
                                        which timm loads and torchvision reports
query and key, online and target,       the trained network, which MoCo, BYOL and SimSiam evaluate, and not
encoder and momentum encoder            the one that follows it
======================================  ====================================================================

Copies that no row of the table ranks must be selected by name.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from ..core.errors import CheckpointError, UsageError
from .layouts import CheckpointMatch

_FOLLOWERS = {"momentum", "k", "key", "target", "student"}
_AVERAGES = {"ema", "averaged", "teacher"}


def chosen_copy(fits: Sequence[CheckpointMatch], path: Path, key: str | None) -> tuple[CheckpointMatch, list[str]]:
    """Return the copy to load, and the names of the other copies that match.

    Args:
        fits: one or more matches, one for each place in the file.
        path: path of the file, for messages.
        key: name of the copy to load; None to follow the conventions above.

    Raises:
        UsageError: if no copy is named ``key``.
        CheckpointError: if several copies match and no convention ranks them.
    """
    whole = [fit for fit in fits if fit.whole]
    named = [fit for fit in whole or fits if key is None or _is_called(fit, key)]
    if not named:
        names = ", ".join(fit.where for fit in whole or fits)
        raise UsageError(f"{path} has no copy of the weights named {key!r}. It has: {names}.")
    if not whole:
        return max(named, key=lambda fit: fit.score), []
    best = max(_rank(fit, whole) for fit in named)
    leaders = sorted((fit for fit in named if _rank(fit, whole) == best), key=lambda fit: fit.score)
    chosen = leaders.pop()
    if different := [fit.where for fit in leaders if not _alike(fit, chosen)]:
        names = ", ".join(sorted([chosen.where, *different]))
        raise CheckpointError(
            f"{path} holds several copies of the weights, and no convention selects one of them: "
            f"{names}. Choose one with --weights-key NAME, or ?weights_key=NAME after the architecture."
        )
    return chosen, [fit.where for fit in whole if fit is not chosen]


def _is_called(fit: CheckpointMatch, key: str) -> bool:
    """Return whether the parts of ``key`` are consecutive parts of the copy's name."""
    return f".{key}." in f".{fit.where}."


def _rank(fit: CheckpointMatch, whole: Sequence[CheckpointMatch]) -> int:
    """Return 2 for a target encoder, 1 for a moving average, 0 for a trained network, and -1 for a follower."""
    parent, _, last = fit.path.rpartition(".")
    if last == "target_encoder":
        sibling = f"{parent}.encoder".lstrip(".")
        if any(other.path == sibling for other in whole):
            return 2
    words = set(re.split(r"[._]", f"{fit.path}.{fit.prefix}"))
    if words & _FOLLOWERS:
        return -1
    return 1 if words & _AVERAGES else 0


def _alike(a: CheckpointMatch, b: CheckpointMatch) -> bool:
    """Return whether two copies have equal values for all weights that both contain."""
    return all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights.keys() & b.weights.keys())
