"""Few-shot recognition on frozen features: N-way K-shot episodes, as the study evaluates them [1].

[1] Islam et al., A broad study on the transferability of visual representations with contrastive
    learning, ICCV 2021: 600 episodes, 5-way, 15 queries, L2-normalised features, logistic regression.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import DataError, UsageError
from ..core.features import Features, require_finite
from ..core.results import Score
from ..core.statistics import mean_interval
from .episodes import Episodes, Shape, episodes_for
from .probe import PROBES

Method = Literal["lr", "proto", "nn"]
Rows = Literal["all", "train", "val", "test"]

CHUNK = 2**24
"""Feature values gathered at once, and inner products held at once: 64 MiB."""


@dataclass(frozen=True)
class FewshotSettings:
    """What the episodes look like and how they are solved.

    Attributes:
        ways: classes an episode.
        shots: labelled rows a class.
        queries: rows a class whose class is asked.
        episodes: how many episodes.
        method: ``lr`` (logistic regression), ``proto`` (nearest class mean) or ``nn`` (nearest row).
        penalty: L2 penalty of ``lr``, 1/C in scikit-learn's terms.
        split: the rows that episodes are drawn from: ``all``, ``train``, ``val`` or ``test``.
    """

    ways: int = 5
    shots: int = 1
    queries: int = 15
    episodes: int = 600
    method: Method = "lr"
    penalty: float = 1.0
    split: Rows = "all"

    def __post_init__(self) -> None:
        _ = self.shape  # refuses numbers that are too small
        for name, value, known in (
            ("method", self.method, get_args(Method)),
            ("split", self.split, get_args(Rows)),
        ):
            if value not in known:
                raise UsageError(f"--{name} {value!r} is unknown. Choose from: {', '.join(known)}.")
        if not 0 < self.penalty < float("inf"):
            raise UsageError(f"--penalty {self.penalty:g} must be above 0.")

    @property
    def shape(self) -> Shape:
        """Of the episodes."""
        return Shape(self.ways, self.shots, self.queries, self.episodes)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records."""
        return asdict(self)


@dataclass(frozen=True)
class FewshotProbe:
    """Mean accuracy over episodes.

    Attributes:
        folder: where episodes are kept to be replayed; None draws the same ones in memory.
    """

    settings_type = FewshotSettings
    folder: Path | None = None

    def score(self, splits: Mapping[str, Features], settings: FewshotSettings, *, seed: int) -> Score:
        """What the features of one layer are worth; nothing is selected."""
        started = time.perf_counter()
        x, labels, names = _pool(splits, settings.split)
        episodes = episodes_for(self.folder, labels, names, settings.shape, seed=seed)
        drawn = time.perf_counter()
        accuracies = fewshot_accuracies(
            x, *episodes.rows(names), method=settings.method, penalty=settings.penalty
        )
        return Score(
            metric="accuracy",
            value=float(accuracies.mean()),
            interval=mean_interval(accuracies),
            n=len(accuracies),
            selected_on="none",
            evaluated_on=settings.split,
            also=_about(episodes, labels),
            seconds={"fit": drawn - started, "score": time.perf_counter() - drawn},
        )


PROBES.register("fewshot")(FewshotProbe())


def _pool(splits: Mapping[str, Features], split: Rows) -> tuple[Tensor, NDArray[np.int64], list[str]]:
    """Unit rows ``[n, d]``, labels ``[n]`` and names ``split:id`` that episodes are drawn from."""
    chosen = {name: part for name, part in splits.items() if split in ("all", name)}
    if not chosen:
        raise DataError(f"There is no split {split!r} to draw episodes from, only {', '.join(splits)}.")
    for name, part in chosen.items():
        require_finite(part.x, what=f"{part.data} {name}, layer {part.layer}", ids=part.ids)
    x = torch.cat([torch.from_numpy(part.x).float() for part in chosen.values()])
    names = [f"{name}:{row}" for name, part in chosen.items() for row in part.ids]
    labels = np.concatenate([part.labels for part in chosen.values()])
    return torch.nn.functional.normalize(x), labels, names


def _about(episodes: Episodes, labels: NDArray[np.int64]) -> dict[str, Any]:
    classes = len(np.unique(labels))
    return {
        "episodes": episodes.digest,
        "classes": classes - episodes.left_out,
        "classes_left_out": episodes.left_out,
    }


def fewshot_accuracies(
    x: Tensor,
    support: NDArray[np.int64],
    query: NDArray[np.int64],
    *,
    method: Method,
    penalty: float,
) -> NDArray[np.float64]:
    """The accuracy of each episode, ``[e]``.

    Args:
        x: ``[n, d]`` float32, rows of unit length.
        support: ``[e, ways, shots]`` row numbers.
        query: ``[e, ways, queries]`` row numbers.
        method: ``lr``, ``proto`` or ``nn``.
        penalty: of ``lr``.
    """
    e, ways, shots = support.shape
    truth = torch.arange(ways).repeat_interleave(query.shape[2])  # [ways * queries]
    s, q = torch.from_numpy(support).flatten(1), torch.from_numpy(query).flatten(1)
    products = s.shape[1] * (s.shape[1] + q.shape[1])
    hits = []
    for part in torch.arange(e).split(max(1, CHUNK // products)):
        gram, cross = _products(x, s[part], q[part])
        if method == "lr":
            scores = lr_scores(gram, cross, shots=shots, penalty=penalty)
        else:
            scores = (proto_scores if method == "proto" else nn_scores)(gram, cross, shots=shots)
        hits.append((scores.argmax(2) == truth).double().mean(1))
    return torch.cat(hits).numpy()


def _products(x: Tensor, support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Of support with support ``[b, m, m]`` and query with support ``[b, q, m]``, given row numbers."""
    pieces = max(1, CHUNK // (support.shape[1] + query.shape[1]) // x.shape[1])
    grams, crosses = [], []
    for s, q in zip(support.split(pieces), query.split(pieces), strict=True):
        rows = x[s]  # [b, m, d]
        grams.append(rows @ rows.mT)
        crosses.append(x[q] @ rows.mT)
    return torch.cat(grams), torch.cat(crosses)


def nn_scores(gram: Tensor, cross: Tensor, *, shots: int) -> Tensor:
    """The similarity of each query to the most similar row of each class, ``[b, q, ways]``.

    Args:
        gram: ``[b, m, m]`` inner products of the ``m = ways * shots`` support rows, class after class.
        cross: ``[b, q, m]`` inner products of queries with them.
        shots: rows a class.
    """
    return cross.unflatten(2, (-1, shots)).amax(3)


def proto_scores(gram: Tensor, cross: Tensor, *, shots: int) -> Tensor:
    """Less the squared distance to each class's mean row [2], ``[b, q, ways]``; arguments as ``nn_scores``.

    With ``μ`` a class's mean, ``−|q − μ|² = 2qμ − |μ|² − |q|²``, and the last is the same for all classes.
    The means of unit rows are not brought to unit length again.

    [2] Snell et al., Prototypical networks for few-shot learning, NeurIPS 2017.
    """
    blocks = gram.unflatten(2, (-1, shots)).unflatten(1, (-1, shots)).mean((2, 4))  # [b, ways, ways]
    return 2 * cross.unflatten(2, (-1, shots)).mean(3) - blocks.diagonal(dim1=1, dim2=2).unsqueeze(1)


def lr_scores(
    gram: Tensor, cross: Tensor, *, shots: int, penalty: float, tolerance: float = 1e-6, limit: int = 5000
) -> Tensor:
    """Logits ``[b, q, ways]`` of multinomial logistic regression as scikit-learn fits it for C = 1/penalty.

    All episodes at once, in Gram space: the weights lie in the span of the support rows, ``W = Sᵀα``, and
    the minimum of ``NLL + λ/2 ‖W‖²`` is where ``α = (Y − P)/λ``. As the softmax never bends more than
    ``½`` [3], stepping by ``(K/2 + λ)⁻¹ (Y − P − λα)`` with ``K = SSᵀ`` only ever descends; Nesterov's
    momentum, dropped where it points uphill [4], makes it quick.

    Args:
        gram: ``[b, m, m]`` inner products of the ``m = ways * shots`` support rows, class after class.
        cross: ``[b, q, m]`` inner products of queries with them.
        shots: rows a class.
        penalty: ``λ``; two classes count it twice, as scikit-learn does by penalising ``w₁ − w₀``.
        tolerance: largest entry of ``Y − P − λα`` at which the episodes are solved.
        limit: of the iterations.

    [3] Böhning, Multinomial logistic regression algorithm, AISM 1992.
    [4] O'Donoghue and Candès, Adaptive restart for accelerated gradient schemes, FoCM 2015.
    """
    gram, cross = _centred(gram.double(), cross.double())
    m = gram.shape[1]
    ways = m // shots
    strength = penalty * (2 if ways == 2 else 1)
    identity = torch.eye(m, dtype=gram.dtype, device=gram.device)
    inverse = torch.linalg.inv(gram / 2 + strength * identity)
    truth = torch.eye(ways, dtype=gram.dtype, device=gram.device).repeat_interleave(shots, 0)  # [m, ways]
    alpha, bias = _ascend(gram, inverse, truth, strength, tolerance, limit)
    return cross @ alpha + bias


def _centred(gram: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
    """The same products about the mean support row: the bias takes that up, and no longer mixes with W."""
    to_mean = gram.mean(1, keepdim=True)  # [b, 1, m]
    of_mean = to_mean.mean(2, keepdim=True)
    gram = gram - to_mean - to_mean.mT + of_mean
    return gram, cross - to_mean - cross.mean(2, keepdim=True) + of_mean


def _ascend(
    gram: Tensor, inverse: Tensor, truth: Tensor, strength: float, tolerance: float, limit: int
) -> tuple[Tensor, Tensor]:
    """``α`` ``[b, m, ways]`` and biases ``[b, 1, ways]`` at the optimum."""
    alpha = gram.new_zeros(len(gram), *truth.shape)
    bias = gram.new_zeros(len(gram), 1, truth.shape[1])
    ahead, ahead_bias = alpha, bias
    age = gram.new_ones(len(gram), 1, 1)
    for _ in range(limit):
        error = truth - (gram @ ahead + ahead_bias).softmax(2)
        slope = error - strength * ahead
        if max(slope.abs().max(), error.sum(1).abs().max()) <= tolerance:
            break
        step, step_bias = inverse @ slope, 2 * error.mean(1, keepdim=True)
        new, new_bias = ahead + step, ahead_bias + step_bias
        moved, moved_bias = new - alpha, new_bias - bias
        uphill = (slope * (gram @ moved)).sum((1, 2)) + (error.sum(1, keepdim=True) * moved_bias).sum(
            (1, 2)
        ) < 0
        age = torch.where(uphill[:, None, None], 1, age)
        older = (1 + (1 + 4 * age.square()).sqrt()) / 2
        momentum = (age - 1) / older
        alpha, bias, age = new, new_bias, older
        ahead, ahead_bias = new + momentum * moved, new_bias + momentum * moved_bias
    return ahead, ahead_bias
