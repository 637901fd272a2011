"""Few-shot recognition on frozen features: N-way K-shot episodes, as the study evaluates them [1].

[1] Islam et al., A broad study on the transferability of visual representations with contrastive
    learning, ICCV 2021: 600 episodes, 5-way, 15 queries, L2-normalised features, logistic regression.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.devices import choose_compute
from ..core.errors import DataError, UsageError
from ..core.features import Features, require_finite
from ..core.files import digest_of
from ..core.labels import require_one_label
from ..core.outcomes import episode_outcomes, row_outcomes
from ..core.proportions import accuracy_interval
from ..core.results import Score
from ..core.statistics import mean_interval
from .allway import CPU, PENALTY, Method, allway_predictions, draw_shots
from .classification import require_two_classes, train_and_test
from .episodes import Episodes, Shape, episodes_for
from .gram import lr_scores, nn_scores, proto_scores, ridge_scores
from .probe import PROBES, Settings

Scheme = Literal["episodes", "allway"]
Rows = Literal["all", "train", "val", "test"]

CHUNK = {"cpu": 2**20, "cuda": 2**25}
"""Feature values gathered at once, and inner products solved at once, by kind of device: few enough to stay
in a processor's cache, and enough to keep a GPU busy with some hundred MiB."""

MOST_SHARED = 2**26
"""Inner products of all rows that are kept to be looked up: 256 MiB."""


@dataclass(frozen=True)
class FewshotSettings:
    """What is drawn and how it is solved.

    Attributes:
        scheme: ``episodes`` (many small problems of a few classes each) or ``allway`` (shots of every class
            of train, scored on the whole test split, as big_vision does).
        ways: classes an episode.
        shots: labelled rows a class.
        queries: rows a class whose class is asked in an episode.
        episodes: how many episodes.
        repeats: how many draws of ``allway``; big_vision takes 3, of which a spread is hard to tell.
        method: ``lr`` (logistic regression), ``ridge`` (least squares to ±1), ``proto`` (nearest class mean)
            or ``nn`` (nearest row); by default ``lr`` for episodes and ``ridge`` for allway.
        penalty: L2 penalty of ``lr`` (1/C in scikit-learn's terms) and ``ridge``; by default 1, and 1024 for
            ``ridge`` in allway.
        split: the rows that episodes are drawn from: ``all``, ``train``, ``val`` or ``test``.
        class_rows: rows that a class must have to take part in episodes; 0 is as many as shots and queries
            need. By default 0, and of several shots asked together as many as the most of them need, so that
            all are asked of the same classes.
    """

    scheme: Scheme = "episodes"
    ways: int = 5
    shots: int = 1
    queries: int = 15
    episodes: int = 600
    repeats: int = 5
    method: Method | None = None
    penalty: float | None = None
    split: Rows = "all"
    class_rows: int | None = None

    def __post_init__(self) -> None:
        _ = self.shape  # refuses numbers that are too small
        for name, value, known in (
            ("scheme", self.scheme, get_args(Scheme)),
            ("method", self.solver, get_args(Method)),
            ("split", self.split, get_args(Rows)),
        ):
            if value not in known:
                raise UsageError(f"--{name} {value!r} is unknown. Choose from: {', '.join(known)}.")
        if not 0 < self.strength < float("inf"):
            raise UsageError(f"--penalty {self.strength:g} must be above 0 and finite.")
        if self.repeats < 1:
            raise UsageError(f"--repeats {self.repeats} is too few: give 1 or more.")
        if self.class_rows is not None and self.class_rows < 0:
            raise UsageError(f"--class-rows {self.class_rows} is too few: give 0 or more.")
        if self.scheme == "allway" and self.split != "all":
            raise UsageError(
                f"--split {self.split} means nothing to --scheme allway: it fits train and scores test."
            )

    @property
    def shape(self) -> Shape:
        """Of the episodes."""
        return Shape(self.ways, self.shots, self.queries, self.episodes)

    @property
    def solver(self) -> Method:
        """The method that was given, or the scheme's own."""
        return self.method or ("ridge" if self.scheme == "allway" else "lr")

    @property
    def strength(self) -> float:
        """The penalty that was given, or the scheme's own."""
        if self.penalty is not None:
            return self.penalty
        return PENALTY if (self.scheme, self.solver) == ("allway", "ridge") else 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records; method, penalty and class rows as they are used."""
        used = {"method": self.solver, "penalty": self.strength, "class_rows": self.class_rows or 0}
        return {**asdict(self), **used}


def paired(asked: Sequence[Settings]) -> list[Settings]:
    """The settings that are asked together, such that a curve over shots has the same classes all along.

    Where settings of episodes differ in nothing but their shots and leave ``class_rows`` open, a class takes
    part in all if it has rows for the most shots and the queries; supports are nested and queries the same
    anyway. All other settings stay as they are.
    """
    most: dict[FewshotSettings, list[int]] = {}
    for one in asked:
        if isinstance(one, FewshotSettings):
            most.setdefault(replace(one, shots=1), []).append(one.shots)
    return [_with_class_rows(one, most) if isinstance(one, FewshotSettings) else one for one in asked]


def _with_class_rows(one: FewshotSettings, shots: Mapping[FewshotSettings, Sequence[int]]) -> FewshotSettings:
    together = shots[replace(one, shots=1)]
    if one.scheme != "episodes" or one.class_rows is not None or len(set(together)) == 1:
        return one
    return replace(one, class_rows=max(together) + one.queries)


@dataclass(frozen=True)
class FewshotProbe:
    """Mean accuracy over episodes, or over draws of all classes.

    Attributes:
        folder: where episodes are kept to be replayed; None draws the same ones in memory.
    """

    settings_type = FewshotSettings
    folder: Path | None = None

    def score(self, splits: Mapping[str, Features], settings: FewshotSettings, *, seed: int) -> Score:
        """What the features of one layer are worth; nothing is selected."""
        for part in splits.values():
            require_one_label(
                part.labels,
                data=part.data,
                what="few-shot recognition",
                instead="Use --protocol linear or knn.",
            )
        if settings.scheme == "allway":
            return _allway_score(splits, settings, seed)
        started = time.perf_counter()
        x, labels, names = _pool(splits, settings.split)
        _require_ways(labels, settings)
        many = _classes_of(labels, settings.class_rows or 0)  # [n] booleans
        taking_part = [name for name, part in zip(names, many.tolist(), strict=True) if part]
        episodes = episodes_for(self.folder, labels[many], taking_part, settings.shape, seed=seed)
        drawn = time.perf_counter()
        right = right_answers(
            x,
            *episodes.rows(names),
            method=settings.solver,
            penalty=settings.strength,
            device=choose_compute().device,
        )
        answers = settings.ways * settings.queries
        accuracies = right / answers
        return Score(
            metric="accuracy",
            value=float(accuracies.mean()),
            interval=mean_interval(accuracies),
            n=len(accuracies),
            selected_on="none",
            evaluated_on=settings.split,
            also=_about(episodes, labels, labels[many]),
            seconds={"fit": drawn - started, "score": time.perf_counter() - drawn},
            outcomes=episode_outcomes(episodes.digest, right, answers=answers),
        )


PROBES.register("fewshot")(FewshotProbe())


def _pool(splits: Mapping[str, Features], split: Rows) -> tuple[Tensor, NDArray[np.int64], list[str]]:
    """Unit rows ``[n, d]``, labels ``[n]`` and names ``split:id`` that episodes are drawn from."""
    chosen = {name: part for name, part in splits.items() if split in ("all", name)}
    if not chosen:
        raise DataError(f"There is no split {split!r} to draw episodes from, only {', '.join(splits)}.")
    for name, part in chosen.items():
        require_finite(part.x, what=f"{part.data} {name}, layer {part.layer}", ids=part.ids)
    x = torch.cat([torch.from_numpy(np.asarray(part.x)).float() for part in chosen.values()])
    names = [f"{name}:{row}" for name, part in chosen.items() for row in part.ids]
    labels = np.concatenate([part.labels for part in chosen.values()])
    return torch.nn.functional.normalize(x), labels, names


def _classes_of(labels: NDArray[np.int64], least: int) -> NDArray[np.bool_]:
    """Which rows are of a class of at least so many, ``[n]``."""
    return np.bincount(labels)[labels] >= least


def _require_ways(labels: NDArray[np.int64], settings: FewshotSettings) -> None:
    """Refuse what too few classes have the rows for, and say how many shots they would do for.

    Raises: DataError: then.
    """
    ways, queries = settings.ways, settings.queries
    rows = np.sort(np.unique(labels, return_counts=True)[1])[::-1]  # of each class, the largest first
    needed = max(settings.class_rows or 0, settings.shots + queries)
    enough = int((rows >= needed).sum())
    if enough >= ways:
        return
    most = int(rows[ways - 1]) - queries if len(rows) >= ways else 0
    asked = f"{ways}-way episodes of {needed - queries} shots"
    if needed > settings.shots + queries:
        asked = f"{ways}-way episodes of {settings.shots} and up to {needed - queries} shots"
    remedy = f": {most} shots would do" if most > 0 else _smaller(rows[:ways], settings)
    raise DataError(
        f"{asked} and {queries} queries need {ways} classes of at least {needed} rows; {enough} of "
        f"{len(rows)} have them. Ask for fewer --ways, --shots or --queries{remedy}."
    )


def _smaller(rows: NDArray[np.int64], settings: FewshotSettings) -> str:
    """What these classes, of so many rows each, the largest first, would do for."""
    rows = rows[rows > 1]
    if len(rows) < 2:
        return ""
    shots = min(settings.shots, int(rows[-1]) - 1)
    queries = min(settings.queries, int(rows[-1]) - shots)
    return f": --ways {len(rows)} --shots {shots} --queries {queries} would do"


def _about(episodes: Episodes, labels: NDArray[np.int64], many: NDArray[np.int64]) -> dict[str, Any]:
    taking_part = len(np.unique(many)) - episodes.left_out
    return {
        "episodes": episodes.digest,
        "classes": taking_part,
        "classes_left_out": len(np.unique(labels)) - taking_part,
    }


def _allway_score(splits: Mapping[str, Features], settings: FewshotSettings, seed: int) -> Score:
    """Mean over draws, with an interval over test rows and draws; that of one draw is over test rows."""
    started = time.perf_counter()
    train_and_test(splits)  # refuses what cannot be fitted or scored
    train, test = splits["train"], splits["test"]
    require_two_classes(train)
    draws = [
        draw_shots(train.labels, train.ids, shots=settings.shots, seed=seed, repeat=repeat)
        for repeat in range(settings.repeats)
    ]
    drawn = time.perf_counter()
    x, labels, queries = (torch.from_numpy(np.asarray(part)) for part in (train.x, train.labels, test.x))
    answer = partial(
        allway_predictions,
        method=settings.solver,
        penalty=settings.strength,
        device=choose_compute().device,
    )
    answers = [answer(x[rows], labels[rows], queries).numpy() for rows in map(torch.from_numpy, draws)]
    hits = np.array([given == test.labels for given in answers])  # [repeats, n]
    accuracies = hits.mean(1)
    return Score(
        metric="top1",
        value=float(accuracies.mean()),
        interval=accuracy_interval(hits.mean(0), test.groups, draws=accuracies.tolist()),
        n=len(test),
        selected_on="none",
        evaluated_on="test",
        also=_about_draws(train, test, draws, settings.shots) | {"accuracies": accuracies.tolist()},
        seconds={"fit": drawn - started, "score": time.perf_counter() - drawn},
        outcomes=row_outcomes(
            test.ids,
            hits.sum(0),
            answers=len(hits),
            groups=test.groups,
            draws=hits.sum(1).tolist() if len(hits) > 1 else (),
        ),
    )


def _about_draws(
    train: Features, test: Features, draws: Sequence[NDArray[np.int64]], shots: int
) -> dict[str, Any]:
    """Which rows were fitted, and how many classes had too few of them, or none."""
    counts = np.bincount(train.labels)
    return {
        "draws": digest_of([[train.ids[row] for row in rows.tolist()] for rows in draws]),
        "classes": int((counts > 0).sum()),
        "classes_of_fewer_rows": int(((counts > 0) & (counts < shots)).sum()),
        "classes_only_in_test": len(np.setdiff1d(test.labels, train.labels)),
    }


def right_answers(
    x: Tensor,
    support: NDArray[np.int64],
    query: NDArray[np.int64],
    *,
    method: Method,
    penalty: float,
    device: torch.device = CPU,
) -> NDArray[np.int64]:
    """How many queries of each episode are answered with their class, ``[e]``.

    Args:
        x: ``[n, d]`` float32, rows of unit length, on the CPU.
        support: ``[e, ways, shots]`` row numbers.
        query: ``[e, ways, queries]`` row numbers.
        method: ``lr``, ``ridge``, ``proto`` or ``nn``.
        penalty: of ``lr`` and ``ridge``.
        device: that computes, some episodes at a time.
    """
    e, ways, shots = support.shape
    truth = torch.arange(ways, device=device).repeat_interleave(query.shape[2])  # [ways * queries]
    s, q = torch.from_numpy(support).flatten(1), torch.from_numpy(query).flatten(1)
    solve = _SOLVERS[method]
    options = {"penalty": penalty} if method in ("lr", "ridge") else {}
    products = _products_of(x, s, q, device)
    hits = []
    together = max(1, CHUNK[device.type] // (s.shape[1] * (s.shape[1] + q.shape[1])))
    for part in torch.arange(e, device=device).split(together):
        scores = solve(*products(part), shots=shots, **options)
        hits.append((scores.argmax(2) == truth).sum(1))
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
    """What gives the inner products ``gram`` and ``cross`` of some episodes, given their numbers.

    Episodes draw the same rows again and again. While all products of the rows in use are fewer than those of
    the episodes, they are taken once and looked up; otherwise each episode multiplies its own. Rows of fewer
    features than support rows depend on each other, and tell so only if their products are exact: float64.
    Rows in use are all that ``device`` is given; numbers of episodes lie there, as products do.

    Args:
        x: ``[n, d]``.
        s: ``[e, m]`` row numbers of supports.
        q: ``[e, q]`` row numbers of queries.
        device: that multiplies.
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
    """Of support with support ``[b, m, m]`` and query with support ``[b, q, m]``, given row numbers."""
    pieces = max(1, CHUNK[x.device.type] // (support.shape[1] + query.shape[1]) // x.shape[1])
    grams, crosses = [], []
    for s, q in zip(support.split(pieces), query.split(pieces), strict=True):
        rows = x[s]  # [b, m, d]
        grams.append(rows @ rows.mT)
        crosses.append(x[q] @ rows.mT)
    return torch.cat(grams), torch.cat(crosses)
