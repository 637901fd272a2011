"""Linear centred kernel alignment (CKA) of layers [1], debiased [2, 3] and streamed.

A layer's kernel over ``m`` rows is ``K = X Xᵀ`` with its diagonal set to zero. *U-centring* subtracts
row and column effects from all off-diagonal entries: with ``r`` the row sums and ``s`` the total sum,
``K̃ᵢⱼ = Kᵢⱼ - rᵢ/(m-2) - rⱼ/(m-2) + s/((m-1)(m-2))``. Then
``HSIC(K, L) = ⟨K̃, L̃⟩ / (m(m-3))`` is the unbiased estimate of [2], and
``CKA = HSIC(K, L) / √(HSIC(K, K) HSIC(L, L))``.

Each batch of rows gives an unbiased estimate of all three, whatever its size; their means over batches,
weighted by rows, go into the ratio [3]. No matrix of ``d × d`` or ``n × n`` is in memory: the time is
``O(n m Σd)`` and the memory ``O(m² L)``. A single batch of all rows gives the exact definition.

[1] Kornblith et al., Similarity of neural network representations revisited, ICML 2019.
[2] Song et al., Feature selection via dependence maximization, JMLR 2012.
[3] Nguyen et al., Do wide and deep networks learn the same things?, ICLR 2021.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import ShapeError, UsageError
from .labelled import Array, matrix

FEWEST = 4
"""Minimum number of rows of the unbiased estimate."""

BATCH = 512
"""Rows per batch. Larger batches reduce the variance slightly; time and memory grow in proportion."""

_ROUNDING = 1e-12  # of a kernel's largest entry: what is left of one that centring should have emptied


@dataclass(frozen=True)
class CkaMatrix:
    """CKA of layers: 1 for equal up to rotation and scale, about 0 for unrelated.

    Attributes:
        rows: names of the layers down the side, ``L1``.
        columns: names of the layers along the top, ``L2``.
        values: ``[L1][L2]`` in ``-1 … 1``; None if a layer is constant. Unbiased estimates of 0 may be
            negative.
        constant: ``(rows, columns)`` whose features do not vary within any batch, or in one row only: they
            have no CKA with anything.
        n: number of rows.
        batches: number of batches.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    constant: tuple[tuple[str, ...], tuple[str, ...]]
    n: int
    batches: int


class CkaSums:
    """Sums over the batches so far, from which CKA is computed.

    Args:
        rows: names of the layers down the side.
        columns: names of the layers along the top; None compares the layers of ``rows`` with each other.
    """

    def __init__(self, rows: Sequence[str], columns: Sequence[str] | None = None) -> None:
        self._rows, self._columns = tuple(rows), None if columns is None else tuple(columns)
        _require_names(self._rows, "rows")
        _require_names(self._rows if columns is None else tuple(columns), "columns")
        self._cross = np.zeros((len(self._rows), len(self._columns or self._rows)))
        self._own_rows, self._own_columns = np.zeros(self._cross.shape[0]), np.zeros(self._cross.shape[1])
        self._scales: dict[tuple[str, str], float] = {}
        self._n = self._batches = 0

    def add(self, rows: Mapping[str, ArrayLike], columns: Mapping[str, ArrayLike] | None = None) -> None:
        """Add one batch: the same ``m`` samples in every layer, in the same order.

        Batches should be random samples: permute rows that are sorted by class.

        Args:
            rows: ``[m, d]`` of every layer named as a row, each with its own ``d``; ``m`` at least 4.
            columns: the same for the columns, if these were named.

        Raises:
            ShapeError: if layers are missing, differ in ``m``, or have fewer than 4 rows.
            NonFiniteError: if a feature is not finite; the message names the layer and the row.
        """
        m = _batch_rows(rows, self._rows, "rows")
        k = self._kernels(rows, self._rows, "rows")  # [L1, m²]
        other = k
        if self._columns is not None:
            if (along := _batch_rows(columns or {}, self._columns, "columns")) != m:
                raise ShapeError(f"A batch needs the same samples in all layers, not {m} and {along} rows.")
            other = self._kernels(columns or {}, self._columns, "columns")  # [L2, m²]
        weight = 1 / (m - 3)  # of m rows: m / (m (m - 3))
        self._cross += weight * (k @ other.T)
        self._own_rows += weight * np.einsum("lk,lk->l", k, k)
        self._own_columns += weight * np.einsum("lk,lk->l", other, other)
        self._n += m
        self._batches += 1

    def matrix(self) -> CkaMatrix:
        """Return the CKA of each row layer and each column layer.

        Raises: ShapeError: if no batch was added.
        """
        if not self._n:
            raise ShapeError("CKA of no rows is undefined: add a batch of at least 4.")
        columns = self._columns or self._rows
        values = tuple(
            tuple(_ratio(cross, a, b) for cross, b in zip(line, self._own_columns, strict=True))
            for line, a in zip(self._cross, self._own_rows, strict=True)
        )
        constant = (
            tuple(name for name, own in zip(self._rows, self._own_rows, strict=True) if own <= 0),
            tuple(name for name, own in zip(columns, self._own_columns, strict=True) if own <= 0),
        )
        return CkaMatrix(self._rows, columns, values, constant, self._n, self._batches)

    def _kernels(self, layers: Mapping[str, ArrayLike], names: tuple[str, ...], side: str) -> Array:
        """Compute U-centred kernels ``[L, m²]``; each layer has its own scale, which all batches share."""
        kernels: list[Array] = []
        for name in names:
            kernel = _u_centred(matrix(layers[name], name=f"The features of layer {name}"))
            if (largest := float(np.abs(kernel).max())) > 0:
                kernel /= self._scales.setdefault((side, name), largest)
            kernels.append(kernel.ravel())
        return np.stack(kernels)


def cka(
    rows: Mapping[str, ArrayLike],
    columns: Mapping[str, ArrayLike] | None = None,
    *,
    batch: int = BATCH,
    rng: np.random.Generator,
) -> CkaMatrix:
    """Compute CKA of layers in memory, in random batches.

    Args:
        rows: ``[n, d]`` of each layer, the same samples in all; ``n`` at least 4.
        columns: the layers to compare them with, of another model; None compares ``rows`` with themselves.
        batch: rows per batch, at least 8; ``n`` or more is exact, and needs ``n × n`` memory per layer.
        rng: random generator of the order of the rows.

    Raises:
        UsageError: if ``batch`` is too small.
        ShapeError: if layers differ in ``n``, or there are fewer than 4 rows.
        NonFiniteError: naming the layer and the row of its batch.

    >>> x = np.random.default_rng(0).normal(size=(50, 8))
    >>> found = cka({"early": x, "dead": 0 * x}, {"late": -3 * x[:, ::-1]}, rng=np.random.default_rng(0))
    >>> round(found.values[0][0], 9), found.values[1][0], found.constant
    (1.0, None, (('dead',), ()))
    """
    sums = CkaSums(tuple(rows), None if columns is None else tuple(columns))
    arrays = [{name: np.asarray(x) for name, x in side.items()} for side in (rows, columns or {})]
    n = _batch_rows(arrays[0], tuple(rows), "rows")
    if columns is not None and (along := _batch_rows(arrays[1], tuple(columns), "columns")) != n:
        raise ShapeError(f"CKA needs the same samples in all layers, not {n} and {along} rows.")
    for index in row_batches(n, batch=batch, rng=rng):
        first, second = ({name: x[index] for name, x in side.items()} for side in arrays)
        sums.add(first, None if columns is None else second)
    return sums.matrix()


def row_batches(n: int, *, batch: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Split ``0 … n-1``, in random order, into batches of at most ``batch`` and at least 4 rows.

    Raises:
        UsageError: if ``batch`` is below 8, of which no part of any ``n`` need be below 4.
        ShapeError: if ``n`` is below 4.
    """
    if batch < 2 * FEWEST:
        raise UsageError(f"A batch of {batch} rows is too small for CKA: give {2 * FEWEST} or more.")
    if n < FEWEST:
        raise ShapeError(f"CKA needs at least {FEWEST} rows, not {n}.")
    return np.array_split(rng.permutation(n), -(-n // batch))


def _u_centred(x: Array) -> Array:
    """Compute the kernel ``K̃`` ``[m, m]`` of ``x`` ``[m, d]``; it is exactly zero if only rounding errors remain."""
    x = x - x[0]  # a constant feature becomes exactly zero, without rounding errors
    x -= x.mean(axis=0)  # changes nothing in K̃ and keeps its digits
    m, kernel = len(x), x @ x.T
    np.fill_diagonal(kernel, 0)
    largest = np.abs(kernel).max()
    sums = kernel.sum(axis=1) / (m - 2)
    kernel -= sums[:, None] + sums - sums.sum() / (m - 1)
    np.fill_diagonal(kernel, 0)
    if np.abs(kernel).max() <= _ROUNDING * largest:
        kernel[:] = 0
    return kernel


def _ratio(cross: float, a: float, b: float) -> float | None:
    """Compute ``cross / √(a b)``, clipped to ±1 because of rounding errors; None if a layer is constant."""
    return None if a <= 0 or b <= 0 else float(np.clip(cross / np.sqrt(a) / np.sqrt(b), -1, 1))


def _require_names(names: tuple[str, ...], side: str) -> None:
    if not names or len(set(names)) < len(names):
        raise UsageError(f"CKA needs {side} of at least one layer, each named once, not {', '.join(names)!r}.")


def _batch_rows(layers: Mapping[str, ArrayLike], names: tuple[str, ...], side: str) -> int:
    """Return the number of rows ``m`` after checking that all named layers are given and have ``m`` rows."""
    if set(layers) != set(names):
        raise ShapeError(f"A batch's {side} are layers {', '.join(names)}, not {', '.join(layers) or 'none'}.")
    counts = {name: np.shape(layers[name])[0] if np.ndim(layers[name]) else 0 for name in names}
    m = counts[names[0]]
    if differing := [name for name in names if counts[name] != m]:
        name = differing[0]
        raise ShapeError(f"Layer {names[0]} has {m} rows and {name} has {counts[name]}: give the same samples.")
    if m < FEWEST:
        raise ShapeError(f"A batch of {m} rows is too small for CKA: give {FEWEST} or more.")
    return m
