"""Predictions of many episodes at once, computed from inner products of their rows."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .allway import CPU
from .solvers import Method
from .solvers.gram import lr_scores, nn_scores, proto_scores, ridge_scores

CHUNK = {"cpu": 2**20, "cuda": 2**25}
"""Number of feature values gathered, and of inner products solved, at once, by type of device: few enough for the
cache of a processor, and enough (some hundred MiB) to keep a GPU busy."""

MOST_SHARED = 2**26
"""Maximum number of inner products that are computed once for all episodes (256 MiB)."""


def count_correct(
    x: Tensor,
    support: NDArray[np.int64],
    query: NDArray[np.int64],
    *,
    method: Method,
    penalty: float,
    device: torch.device = CPU,
) -> NDArray[np.int64]:
    """Count the correct predictions of each episode, ``[e]``.

    Args:
        x: ``[n, d]`` float32, rows of unit length, on the CPU.
        support: ``[e, ways, shots]`` row numbers.
        query: ``[e, ways, queries]`` row numbers.
        method: ``lr``, ``ridge``, ``proto`` or ``nn``.
        penalty: penalty of ``lr`` and ``ridge``.
        device: device of the computation, which runs in batches of episodes.
    """
    e, ways, shots = support.shape
    targets = torch.arange(ways, device=device).repeat_interleave(query.shape[2])  # [ways * queries]
    s, q = torch.from_numpy(support).flatten(1), torch.from_numpy(query).flatten(1)
    solve = _SOLVERS[method]
    options = {"penalty": penalty} if method in ("lr", "ridge") else {}
    products = _products_of(x, s, q, device)
    hits = []
    batch = max(1, CHUNK[device.type] // (s.shape[1] * (s.shape[1] + q.shape[1])))
    for part in torch.arange(e, device=device).split(batch):
        scores = solve(*products(part), shots=shots, **options)
        hits.append((scores.argmax(2) == targets).sum(1))
    return torch.cat(hits).cpu().numpy()


_SOLVERS: dict[str, Callable[..., Tensor]] = {
    "lr": lr_scores,
    "ridge": ridge_scores,
    "proto": proto_scores,
    "nn": nn_scores,
}


def _products_of(
    x: Tensor, s: Tensor, q: Tensor, device: torch.device = CPU
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return a function from episode numbers to the inner products ``gram`` and ``cross`` of these episodes.

    Episodes draw the same rows repeatedly. If the products of all rows in use are fewer than those of the
    episodes, they are computed once and looked up; otherwise each episode computes its own. Support rows with
    fewer features than rows are linearly dependent, which requires exact products: float64. Only the rows in use
    are copied to ``device``, where episode numbers and products are stored too.

    Args:
        x: ``[n, d]``.
        s: ``[e, m]``, row numbers of support rows.
        q: ``[e, q]``, row numbers of queries.
        device: device of the computation.
    """
    used, places = torch.cat([s, q], 1).unique(return_inverse=True)
    x, places = x[used].to(device), places.to(device)
    x = x.double() if x.shape[1] < s.shape[1] else x
    s, q = places[:, : s.shape[1]], places[:, s.shape[1] :]
    if len(x) ** 2 <= min(MOST_SHARED, s.numel() * places.shape[1]):
        shared = x @ x.T
        return lambda part: (
            shared[s[part, :, None], s[part, None]],
            shared[q[part, :, None], s[part, None]],
        )
    return lambda part: _gathered_products(x, s[part], q[part])


def _gathered_products(x: Tensor, support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the products support × support ``[b, m, m]`` and query × support ``[b, q, m]`` from row numbers."""
    pieces = max(1, CHUNK[x.device.type] // (support.shape[1] + query.shape[1]) // x.shape[1])
    grams, crosses = [], []
    for s, q in zip(support.split(pieces), query.split(pieces), strict=True):
        rows = x[s]  # [b, m, d]
        grams.append(rows @ rows.mT)
        crosses.append(x[q] @ rows.mT)
    return torch.cat(grams), torch.cat(crosses)
