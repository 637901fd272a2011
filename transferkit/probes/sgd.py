"""Linear evaluation by SGD, as the study does it [1]: many settings trained side by side.

Features pass a batch normalisation without parameters of its own, then one linear layer:

    z = (x − μ) / √(σ² + ε),    logits = z W + b

While training, ``μ`` and ``σ²`` are the batch's; afterwards they are the running ones. So settings that
share a batch size share ``z``: their weights stand in one matrix, and a step of all of them is one product
forth, one back and one update. SGD is PyTorch's [2]: with ``g`` the gradient of the mean cross-entropy,
``v ← 0.9 v + g + decay · w`` and ``w ← w − lr · v``, the bias decaying like the weights.

[1] Islam et al., A broad study on the transferability of visual representations with contrastive
    learning, ICCV 2021.
[2] https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import DataError, ShapeError, UsageError
from ..core.features import Features
from ..core.results import Score
from ..core.seeding import generator
from ..core.splitting import stratified_split
from .classification import Choice, classification_score, require_two_classes, train_and_test

HELD_OUT = 0.3
"""Of the rows that fit, to choose the setting on."""

CHOOSING_EPOCHS = 20
EPOCHS = 50
"""As many augmented views let no epoch show an image in the same way as another, as in the study."""

DROPS = (0.5, 0.75)
"""Parts of the epochs after which the learning rate is a tenth of what it was."""

MOMENTUM = 0.9

EPSILON = 1e-5
"""Added to a variance, and below the pace of the running statistics: as in ``torch.nn.BatchNorm1d``."""

PACE = 0.1

SMALL_STEP = 2**25
"""Multiplications in one product of a step, up to which one thread is quicker than several: about 1 ms.
Where other programs share the cores, waiting for each other at every step costs a hundred times as much."""


@dataclass(frozen=True)
class SgdSetting:
    """One way to train.

    Attributes:
        lr: learning rate at the start, above 0.
        batch: rows a step, at least 2.
        weight_decay: added to the gradient, times the weights; at least 0.
    """

    lr: float
    batch: int
    weight_decay: float

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise UsageError(f"A batch of {self.batch} has no variance to normalise by: give 2 or more.")
        if not (0 < self.lr < float("inf") and 0 <= self.weight_decay < float("inf")):
            raise UsageError(
                f"Learning rate {self.lr:g} must be above 0, weight decay {self.weight_decay:g} at least 0."
            )


GRID = tuple(SgdSetting(*cell) for cell in product((0.01, 0.001), (128, 32), (0.0, 1e-4, 1e-5)))
"""The study's twelve."""


class Views(Protocol):
    """The same rows ``[n, d]`` seen differently, by number: a list of tensors, or what reads them in turn."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Tensor: ...


Held = tuple[NDArray[np.floating], NDArray[np.integer]]


@dataclass(frozen=True, eq=False)
class SgdFits:
    """What ``p`` settings arrived at; ``d`` features, ``c`` classes.

    The running normalisation is part of the weights: logits are ``x @ weights[i] + biases[i]``.

    Attributes:
        weights: ``[p, d, c]``.
        biases: ``[p, c]``.
    """

    weights: Tensor
    biases: Tensor


def sgd_fits(
    views: Views,
    labels: Tensor,
    n_classes: int,
    settings: Sequence[SgdSetting],
    *,
    epochs: int,
    seed: int,
) -> SgdFits:
    """Train every setting from the same start, on the device of the views.

    The rows are drawn anew for each epoch, in the same order for all settings. The last batch may be
    shorter; one row alone has no variance and is left out.

    Args:
        views: at least one ``[n, d]``, finite: the same rows seen differently; epoch ``e`` takes view
            ``e mod v``. Computed in float64 where they are that, else in float32.
        labels: ``[n]`` integers in ``0 … n_classes-1``.
        n_classes: ``c``.
        settings: ``p`` of them.
        epochs: how often every row is seen.
        seed: of the start and the order.

    Raises:
        ShapeError: if there are fewer than two rows, or the shapes do not fit.
        UsageError: if there is no setting or no epoch.
    """
    if not settings or epochs < 1:
        raise UsageError(f"SGD needs at least one setting and one epoch, not {len(settings)} and {epochs}.")
    first = views[0]
    _require_problem(first, labels, n_classes)
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    n, d = first.shape
    start = starting_weights(d, n_classes, seed=seed).to(first.device, dtype)  # [d+1, c]
    order = [epoch_order(n, epoch, seed=seed).to(start.device) for epoch in range(epochs)]
    weights = start.new_empty(len(settings), d, n_classes)
    biases = start.new_empty(len(settings), n_classes)
    for size in sorted({setting.batch for setting in settings}):
        which = [i for i, setting in enumerate(settings) if setting.batch == size]
        training = _SideBySide(start, [settings[i] for i in which])
        with _threads_for(min(size, n) * d * n_classes * len(which)):
            for epoch, rows in enumerate(order):
                x, drops = views[epoch % len(views)], sum(epoch >= int(epochs * part) for part in DROPS)
                if x.shape != first.shape:
                    raise ShapeError(f"SGD needs views of one shape, not {[n, d]} and {list(x.shape)}.")
                for batch in rows.split(size):
                    if len(batch) > 1:
                        training.step(x[batch].to(dtype), labels[batch], rate=0.1**drops)
        weights[which], biases[which] = training.folded()
    return SgdFits(weights, biases)


@contextmanager
def _threads_for(multiplications: int) -> Iterator[None]:
    """One thread for small steps; what was set before is set again."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if multiplications <= SMALL_STEP else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def starting_weights(d: int, n_classes: int, *, seed: int) -> Tensor:
    """``[d+1, c]`` float64, the last row biases: uniform within ``±1/√d`` as in ``torch.nn.Linear``."""
    drawn = generator(seed, "sgd", "start").random((d + 1, n_classes))
    return torch.from_numpy((2 * drawn - 1) / np.sqrt(d))


def epoch_order(n: int, epoch: int, *, seed: int) -> Tensor:
    """``[n]`` row numbers in the order in which ``epoch`` sees them."""
    keys = np.asarray(generator(seed, "sgd", "order", epoch).bit_generator.random_raw(n))
    return torch.from_numpy(np.argsort(keys, kind="stable"))


def sgd_choice(
    views: Views,
    rows: Features,
    settings: Sequence[SgdSetting] = GRID,
    *,
    seed: int,
    plain: Tensor | None = None,
) -> tuple[SgdSetting, Held]:
    """Choose the setting that is most accurate on a seeded, stratified 30 % of the rows, in whole groups.

    Each is trained for 20 epochs on the other rows. As in the study, both parts are augmented: the held-out
    rows are shown as the first view that no epoch trained on, where there are more than 20.

    Args:
        views: ``[n, d]`` each, as ``sgd_fits`` takes them.
        rows: their labels, classes and groups.
        settings: the candidates; the first of equals is chosen.
        seed: of the split and of the training.
        plain: ``[n, d]``, the rows without augmentation, for the probabilities; the judging view by default.

    Returns: the setting; and the probabilities ``[h, c]`` that it gives the held-out rows, with their labels.
    Raises: DataError: if no row is left to choose on.
    """
    rng = generator(seed, "sgd", "validation")
    labels = rows.labels
    kept, held = stratified_split(labels, (1 - HELD_OUT, HELD_OUT), rng=rng, groups=rows.groups)
    if not len(held):
        unit = "row" if rows.groups is None else "group"
        raise DataError(
            f"The {len(labels)} rows to train on leave none to choose a setting of SGD on: "
            f"every class has one {unit} only. Use --solver lbfgs with --penalties 1."
        )
    judging = views[CHOOSING_EPOCHS % len(views)][held]
    y = torch.from_numpy(labels).to(judging.device)
    train = _ViewsReadInTurn(lambda number: views[number][kept], len(views))
    fits = sgd_fits(train, y[kept], len(rows.classes), settings, epochs=CHOOSING_EPOCHS, seed=seed)
    right = (_logits(judging, fits).argmax(2) == y[held]).double().mean(1)  # accuracy [p]
    best = int(right.argmax())
    shown = judging if plain is None else plain[held]
    probabilities = _logits(shown, fits)[best].softmax(1).cpu().numpy()
    return settings[best], (probabilities, labels[held])


def _logits(x: Tensor, fits: SgdFits) -> Tensor:
    """``[p, n, c]`` of all settings for the rows ``x`` ``[n, d]``."""
    return torch.einsum("nd,pdc->pnc", x.to(fits.weights.dtype), fits.weights) + fits.biases[:, None]


def sgd_score(splits: Mapping[str, Features], inputs: Callable[[Features, Features], Tensor], *, seed: int) -> Score:
    """The ``linear`` protocol by SGD: a setting is chosen, trained on train + val, scored on ``test``.

    A ``val`` is part of what is trained on, as with the other solver; 30 % of it all selects. Where there are
    augmented views, every epoch trains on the next of them and a setting is chosen on one of them; the
    temperature is fitted to the held-out rows, and accuracy is computed on ``test``, without augmentation.

    Args:
        splits: ``train``, ``test`` and perhaps ``val``.
        inputs: the matrix ``[n, d]`` of its first argument, normalised by what its second is like.
        seed: of the split and of the training.
    """
    started = time.perf_counter()
    fitting, test = train_and_test(splits)
    require_two_classes(fitting)
    x, classes = inputs(fitting, fitting), len(fitting.classes)
    augmented = fitting.augmented or (fitting.x,)
    views = _ViewsReadInTurn(lambda i: inputs(replace(fitting, x=augmented[i], augmented=()), fitting), len(augmented))
    setting, held = sgd_choice(views, fitting, seed=seed, plain=x)
    labels = torch.from_numpy(fitting.labels).to(x.device)
    fit = sgd_fits(views, labels, classes, [setting], epochs=EPOCHS, seed=seed)
    fitted = time.perf_counter()
    logits = inputs(test, fitting) @ fit.weights[0] + fit.biases[0]
    return classification_score(
        logits.softmax(1).cpu().numpy(),
        test,
        Choice(f"{HELD_OUT:.0%} of {fitting.split}", asdict(setting), held),
        extra_metrics={"epochs": EPOCHS, "augmented_views": len(fitting.augmented)},
        seconds={"fit": fitted - started, "score": time.perf_counter() - fitted},
    )


def _require_problem(x: Tensor, labels: Tensor, n_classes: int) -> None:
    if x.ndim != 2 or len(x) < 2 or labels.shape != x.shape[:1]:
        raise ShapeError(
            f"SGD needs views [n, d] of at least two rows, and labels [n], "
            f"not {list(x.shape)} and {list(labels.shape)}."
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ShapeError(f"Labels must lie in 0 … {n_classes - 1}.")


class _ViewsReadInTurn:
    """Augmented views of the same rows, each read when its epoch begins; only the latest is kept.

    Args:
        read: returns the view ``[n, d]`` of a number.
        count: number of views.
    """

    def __init__(self, read: Callable[[int], Tensor], count: int) -> None:
        self._read, self._count = read, count
        self._latest: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Tensor:
        if self._latest is None or self._latest[0] != number:
            self._latest = number, self._read(number)
        return self._latest[1]


class _SideBySide:
    """The training of ``g`` settings that share their batches."""

    def __init__(self, start: Tensor, settings: Sequence[SgdSetting]) -> None:
        self._n_classes = start.shape[1]
        self._w = start.T.repeat(len(settings), 1)  # [g*c, d+1]
        self._velocity = torch.zeros_like(self._w)
        rates = start.new_tensor([[setting.lr, setting.weight_decay] for setting in settings])
        self._lr, self._decay = rates.repeat_interleave(self._n_classes, 0).split(1, 1)  # [g*c, 1] each
        self._mean, self._variance = torch.zeros_like(start[:-1, 0]), torch.ones_like(start[:-1, 0])

    def step(self, x: Tensor, labels: Tensor, *, rate: float) -> None:
        """One update by the rows ``x`` ``[b, d]``, learning rates times ``rate``."""
        b = len(x)
        mean = x.mean(0)
        centred = x - mean
        variance = centred.square().mean(0)
        z = torch.cat([centred.mul_((variance + EPSILON).rsqrt_()), x.new_ones(b, 1)], 1)  # [b, d+1]
        logits = (z @ self._w.T).view(b, -1, self._n_classes)
        truth = torch.nn.functional.one_hot(labels, self._n_classes)
        residual = logits.softmax(2).sub_(truth[:, None]).div_(b).flatten(1)  # [b, g*c]
        self._velocity.addmm_(residual.T, z, beta=MOMENTUM).addcmul_(self._w, self._decay)
        self._w.addcmul_(self._velocity, self._lr, value=-rate)
        self._mean.lerp_(mean, PACE)
        self._variance.lerp_(variance * (b / (b - 1)), PACE)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weights ``[g, d, c]`` and biases ``[g, c]`` with the running normalisation in them."""
        w = self._w.unflatten(0, (-1, self._n_classes)).mT.double()  # [g, d+1, c]
        weights = w[:, :-1] / (self._variance.double() + EPSILON).sqrt()[:, None]
        biases = w[:, -1] - self._mean.double() @ weights
        return weights.to(self._w.dtype), biases.to(self._w.dtype)
