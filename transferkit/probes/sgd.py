"""Linear evaluation by SGD as in the study [1], with all settings trained at the same time.

Features pass a batch normalisation without learned parameters and then one linear layer:

    z = (x − μ) / √(σ² + ε),    logits = z W + b

During training, ``μ`` and ``σ²`` are those of the batch; afterwards they are the running statistics. Settings
with the same batch size therefore share ``z``: their weights are stored in one matrix, and a step of all of
them is one forward product, one backward product and one update. SGD is PyTorch's [2]: with ``g`` the gradient
of the mean cross-entropy, ``v ← 0.9 v + g + decay · w`` and ``w ← w − lr · v``. Biases decay like weights.

[1] Islam et al., A broad study on the transferability of visual representations with contrastive
    learning, ICCV 2021.
[2] https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Annotated, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import DataError, ShapeError, UsageError
from ..core.features import Features
from ..core.results import Score
from ..core.seeding import generator
from ..core.settings import Limits, NonNegativeFloat, PositiveFloat, Settings
from ..core.splitting import stratified_split
from .classification import Selection, classification_score, require_two_classes, train_and_test

VAL_FRACTION = 0.3
"""Fraction of the training rows that selects the setting."""

SEARCH_EPOCHS = 20
"""Number of epochs per candidate setting."""

EPOCHS = 50
"""Number of epochs of the final training. With as many augmented views, no epoch repeats a view, as in the study."""

LR_MILESTONES = (0.5, 0.75)
"""Fractions of the epochs after which the learning rate is divided by 10."""

MOMENTUM = 0.9

EPSILON = 1e-5
"""Number added to a variance, as in ``torch.nn.BatchNorm1d``, like the momentum of the running statistics."""

BN_MOMENTUM = 0.1

SINGLE_THREAD_LIMIT = 2**25
"""Multiplications per product (about 1 ms) up to which one thread is faster than several. If other programs use
the cores too, threads that wait for each other at every step are a hundred times slower."""


@dataclass(frozen=True)
class SgdSetting(Settings, command_line=False):
    """Hyperparameters of one training.

    Attributes:
        lr: Initial learning rate.
        batch: Rows per step; a single row has no variance to normalise by.
        weight_decay: Factor of the weights in the gradient.
    """

    lr: PositiveFloat
    batch: Annotated[int, Limits(2)]
    weight_decay: NonNegativeFloat


GRID = tuple(SgdSetting(*cell) for cell in product((0.01, 0.001), (128, 32), (0.0, 1e-4, 1e-5)))
"""The twelve settings of the study."""


class Views(Protocol):
    """A sequence of augmented views ``[n, d]`` of the same rows: a list of tensors, or an object that loads them."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Tensor: ...


HeldOut = tuple[NDArray[np.floating], NDArray[np.integer]]


@dataclass(frozen=True, eq=False)
class SgdFits:
    """Fitted classifiers of ``p`` settings; ``d`` features, ``c`` classes.

    The running statistics are folded into the weights: logits are ``x @ weights[i] + biases[i]``.

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
    """Train every setting from the same initial weights, on the device of the views.

    The rows are shuffled again for each epoch, in the same order for all settings. The last batch may be
    shorter; a batch of one row has no variance and is skipped.

    Args:
        views: one or more augmented views ``[n, d]`` of the same rows, finite; epoch ``e`` uses view
            ``e mod v``. The training runs in float64 if the views are float64, else in float32.
        labels: ``[n]`` integers in ``0 … n_classes-1``.
        n_classes: ``c``.
        settings: the ``p`` settings.
        epochs: number of passes over the rows.
        seed: seed of the initial weights and the order.

    Raises:
        ShapeError: if there are fewer than two rows, or the shapes do not fit.
        UsageError: if there is no setting or no epoch.
    """
    if not settings or epochs < 1:
        raise UsageError(f"SGD needs at least one setting and one epoch, not {len(settings)} and {epochs}.")
    first = views[0]
    _require_valid(first, labels, n_classes)
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    n, d = first.shape
    start = initial_weights(d, n_classes, seed=seed).to(first.device, dtype)  # [d+1, c]
    order = [epoch_order(n, epoch, seed=seed).to(start.device) for epoch in range(epochs)]
    weights = start.new_empty(len(settings), d, n_classes)
    biases = start.new_empty(len(settings), n_classes)
    for size in sorted({setting.batch for setting in settings}):
        group = [i for i, setting in enumerate(settings) if setting.batch == size]
        training = _JointTraining(start, [settings[i] for i in group])
        with _threads_for(min(size, n) * d * n_classes * len(group)):
            for epoch, rows in enumerate(order):
                x = views[epoch % len(views)]
                drops = sum(epoch >= int(epochs * fraction) for fraction in LR_MILESTONES)
                if x.shape != first.shape:
                    raise ShapeError(f"SGD needs views of one shape, not {[n, d]} and {list(x.shape)}.")
                for batch in rows.split(size):
                    if len(batch) > 1:
                        training.step(x[batch].to(dtype), labels[batch], lr_factor=0.1**drops)
        weights[group], biases[group] = training.folded_weights()
    return SgdFits(weights, biases)


@contextmanager
def _threads_for(multiplications: int) -> Iterator[None]:
    """Use one thread for small steps, and restore the number of threads at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if multiplications <= SINGLE_THREAD_LIMIT else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def initial_weights(d: int, n_classes: int, *, seed: int) -> Tensor:
    """Draw weights and, in the last row, biases ``[d+1, c]``, uniform in ``±1/√d`` as in ``torch.nn.Linear``."""
    drawn = generator(seed, "sgd", "start").random((d + 1, n_classes))
    return torch.from_numpy((2 * drawn - 1) / np.sqrt(d))


def epoch_order(n: int, epoch: int, *, seed: int) -> Tensor:
    """Return the row numbers ``[n]`` in the order of ``epoch``."""
    keys = np.asarray(generator(seed, "sgd", "order", epoch).bit_generator.random_raw(n))
    return torch.from_numpy(np.argsort(keys, kind="stable"))


def sgd_choice(
    views: Views,
    rows: Features,
    settings: Sequence[SgdSetting] = GRID,
    *,
    seed: int,
    unaugmented: Tensor | None = None,
) -> tuple[SgdSetting, HeldOut]:
    """Select the setting with the highest accuracy on held-out rows: a seeded, stratified 30 % in whole groups.

    Each setting is trained for 20 epochs on the remaining rows. As in the study, both parts are augmented: the
    accuracy is computed on the first view of the held-out rows on which no epoch has trained, if there are
    more than 20 views.

    Args:
        views: see ``sgd_fits``.
        rows: labels, classes and groups of the rows.
        settings: the candidates; the first is selected in a tie.
        seed: seed of the split and of the training.
        unaugmented: ``[n, d]``, rows without augmentation, for the probabilities; None uses the view that
            selects.

    Returns: the setting; its probabilities ``[h, c]`` for the held-out rows; and their labels.
    Raises: DataError: if no row is left for the selection.
    """
    rng = generator(seed, "sgd", "validation")
    labels = rows.labels
    kept, held = stratified_split(labels, (1 - VAL_FRACTION, VAL_FRACTION), rng=rng, groups=rows.groups)
    if not len(held):
        unit = "row" if rows.groups is None else "group"
        raise DataError(
            f"The {len(labels)} training rows leave none to select a setting of SGD on: "
            f"every class has only one {unit}, and needs two. Use --solver lbfgs with --penalties 1."
        )
    val_view = views[SEARCH_EPOCHS % len(views)][held]
    y = torch.from_numpy(labels).to(val_view.device)
    train = _LazyViews(lambda number: views[number][kept], len(views))
    fits = sgd_fits(train, y[kept], len(rows.classes), settings, epochs=SEARCH_EPOCHS, seed=seed)
    accuracy = (_logits(val_view, fits).argmax(2) == y[held]).double().mean(1)  # [p]
    best = int(accuracy.argmax())
    x = val_view if unaugmented is None else unaugmented[held]
    probabilities = _logits(x, fits)[best].softmax(1).cpu().numpy()
    return settings[best], (probabilities, labels[held])


def _logits(x: Tensor, fits: SgdFits) -> Tensor:
    """Return the logits ``[p, n, c]`` of all settings for the rows ``x`` ``[n, d]``."""
    return torch.einsum("nd,pdc->pnc", x.to(fits.weights.dtype), fits.weights) + fits.biases[:, None]


def sgd_score(splits: Mapping[str, Features], inputs: Callable[[Features, Features], Tensor], *, seed: int) -> Score:
    """Score the ``linear`` protocol by SGD: select a setting, train it on train + val, and evaluate it on ``test``.

    A ``val`` split is added to the training rows, as with the other solver; 30 % of all these rows select the
    setting. With augmented views, each epoch trains on the next view, and one view selects the setting. The
    temperature is fitted to the held-out rows, and accuracy is computed on ``test``, both without augmentation.

    Args:
        splits: ``train``, ``test`` and optionally ``val``.
        inputs: function that returns the matrix ``[n, d]`` of its first argument, normalised with the
            statistics of its second.
        seed: seed of the split and of the training.
    """
    started = time.perf_counter()
    fitting, test = train_and_test(splits)
    require_two_classes(fitting)
    x, classes = inputs(fitting, fitting), len(fitting.classes)
    augmented = fitting.augmented or (fitting.x,)
    views = _LazyViews(lambda i: inputs(replace(fitting, x=augmented[i], augmented=()), fitting), len(augmented))
    setting, held_out = sgd_choice(views, fitting, seed=seed, unaugmented=x)
    labels = torch.from_numpy(fitting.labels).to(x.device)
    fit = sgd_fits(views, labels, classes, [setting], epochs=EPOCHS, seed=seed)
    fitted = time.perf_counter()
    logits = inputs(test, fitting) @ fit.weights[0] + fit.biases[0]
    return classification_score(
        logits.softmax(1).cpu().numpy(),
        test,
        Selection(f"{VAL_FRACTION:.0%} of {fitting.split}", asdict(setting), held_out),
        extra_metrics={"epochs": EPOCHS, "augmented_views": len(fitting.augmented)},
        seconds={"fit": fitted - started, "score": time.perf_counter() - fitted},
    )


def _require_valid(x: Tensor, labels: Tensor, n_classes: int) -> None:
    if x.ndim != 2 or len(x) < 2 or labels.shape != x.shape[:1]:
        raise ShapeError(
            f"SGD needs views [n, d] of at least two rows and labels [n], not {list(x.shape)} and {list(labels.shape)}."
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ShapeError(f"Labels must be in 0 … {n_classes - 1}.")


class _LazyViews:
    """Augmented views of the same rows, each read when its epoch begins; only the last one is kept in memory.

    Args:
        read: function that returns the view ``[n, d]`` of a number.
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


class _JointTraining:
    """Training of ``g`` settings with the same batches."""

    def __init__(self, start: Tensor, settings: Sequence[SgdSetting]) -> None:
        self._n_classes = start.shape[1]
        self._w = start.T.repeat(len(settings), 1)  # [g*c, d+1]
        self._velocity = torch.zeros_like(self._w)
        rates = start.new_tensor([[setting.lr, setting.weight_decay] for setting in settings])
        self._lr, self._decay = rates.repeat_interleave(self._n_classes, 0).split(1, 1)  # [g*c, 1] each
        self._mean, self._variance = torch.zeros_like(start[:-1, 0]), torch.ones_like(start[:-1, 0])

    def step(self, x: Tensor, labels: Tensor, *, lr_factor: float) -> None:
        """Update the weights with the rows ``x`` ``[b, d]``; ``lr_factor`` multiplies the learning rates."""
        b = len(x)
        mean = x.mean(0)
        centred = x - mean
        variance = centred.square().mean(0)
        z = torch.cat([centred.mul_((variance + EPSILON).rsqrt_()), x.new_ones(b, 1)], 1)  # [b, d+1]
        logits = (z @ self._w.T).view(b, -1, self._n_classes)  # [b, g, c]
        targets = torch.nn.functional.one_hot(labels, self._n_classes)  # [b, c]
        residual = logits.softmax(2).sub_(targets[:, None]).div_(b).flatten(1)  # [b, g*c]
        self._velocity.addmm_(residual.T, z, beta=MOMENTUM).addcmul_(self._w, self._decay)
        self._w.addcmul_(self._velocity, self._lr, value=-lr_factor)
        self._mean.lerp_(mean, BN_MOMENTUM)
        self._variance.lerp_(variance * (b / (b - 1)), BN_MOMENTUM)  # unbiased

    def folded_weights(self) -> tuple[Tensor, Tensor]:
        """Return weights ``[g, d, c]`` and biases ``[g, c]`` that include the running normalisation."""
        w = self._w.unflatten(0, (-1, self._n_classes)).mT.double()  # [g, d+1, c]
        weights = w[:, :-1] / (self._variance.double() + EPSILON).sqrt()[:, None]
        biases = w[:, -1] - self._mean.double() @ weights
        return weights.to(self._w.dtype), biases.to(self._w.dtype)
