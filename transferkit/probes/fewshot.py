"""Few-shot recognition on frozen features: N-way K-shot episodes, as the study evaluates them [1].

[1] Islam et al., A broad study on the transferability of visual representations with contrastive
    learning, ICCV 2021: 600 episodes, 5-way, 15 queries, L2-normalised features, logistic regression.
"""

import time
from collections.abc import Mapping, Sequence
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
from ..core.features import Features, concatenate, require_finite
from ..core.files import digest_of
from ..core.half_samples import interval_over_images
from ..core.labels import require_one_label
from ..core.outcomes import Outcomes, episode_outcomes, row_outcomes
from ..core.proportions import accuracy_interval
from ..core.results import Score
from ..core.statistics import mean_interval
from ..core.wording import counted
from .allway import PENALTY, Method, allway_predictions, draw_shots
from .answers import right_answers
from .classification import require_two_classes, train_and_test
from .episodes import Episodes, Shape, eligible_classes, episodes_for
from .halves import Halves, draw_halves
from .probe import PROBES, Settings

Scheme = Literal["episodes", "all-way"]
Rows = Literal["all", "train", "val", "test"]


@dataclass(frozen=True)
class FewshotSettings:
    """What is drawn and how it is solved.

    Attributes:
        scheme: ``episodes`` (many small problems of a few classes each) or ``all-way`` (shots of every class
            of train, scored on the whole test split, as big_vision does).
        ways: classes an episode.
        shots: labelled rows a class.
        queries: rows a class whose class is asked in an episode.
        episodes: how many episodes.
        repeats: how many draws of ``all-way``; big_vision takes 3, of which a spread is hard to tell.
        method: ``lr`` (logistic regression), ``ridge`` (least squares to ±1), ``proto`` (nearest class mean)
            or ``nn`` (nearest row); by default ``lr`` for episodes and ``ridge`` for all-way.
        penalty: L2 penalty of ``lr`` (1/C in scikit-learn's terms) and ``ridge``; by default 1, and 1024 for
            ``ridge`` in all-way.
        split: the rows that episodes are drawn from: ``all``, ``train``, ``val`` or ``test``.
        min_rows_per_class: rows that a class must have to take part in episodes; 0 is as many as shots and queries
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
    min_rows_per_class: int | None = None

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
        if self.min_rows_per_class is not None and self.min_rows_per_class < 0:
            raise UsageError(f"--min-rows-per-class {self.min_rows_per_class} is too few: give 0 or more.")
        if self.scheme == "all-way" and self.split != "all":
            raise UsageError(f"--split {self.split} means nothing to --scheme all-way: it fits train and scores test.")

    @property
    def shape(self) -> Shape:
        """Of the episodes."""
        return Shape(self.ways, self.shots, self.queries, self.episodes)

    @property
    def solver(self) -> Method:
        """The method that was given, or the scheme's own."""
        return self.method or ("ridge" if self.scheme == "all-way" else "lr")

    @property
    def strength(self) -> float:
        """The penalty that was given, or the scheme's own."""
        if self.penalty is not None:
            return self.penalty
        return PENALTY if (self.scheme, self.solver) == ("all-way", "ridge") else 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records; method, penalty and class rows as they are used."""
        used = {"method": self.solver, "penalty": self.strength, "min_rows_per_class": self.min_rows_per_class or 0}
        return {**asdict(self), **used}


def paired(asked: Sequence[Settings]) -> list[Settings]:
    """The settings that are asked together, such that a curve over shots has the same classes all along.

    Where settings of episodes differ in nothing but their shots and leave ``min_rows_per_class`` open, a class takes
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
    if one.scheme != "episodes" or one.min_rows_per_class is not None or len(set(together)) == 1:
        return one
    return replace(one, min_rows_per_class=max(together) + one.queries)


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
        if settings.scheme == "all-way":
            return _allway_score(splits, settings, seed)
        started = time.perf_counter()
        pool = _pool(splits, settings)
        episodes = episodes_for(self.folder, pool.labels, pool.names, settings.shape, seed=seed, groups=pool.groups)
        halves = _halves(pool, settings.shape, seed)
        drawn = time.perf_counter()
        outcomes = answered(pool.x, episodes.digest, episodes.rows(pool.names), halves, settings)
        accuracies = outcomes.accuracies
        return Score(
            metric="accuracy",
            value=float(accuracies.mean()),
            interval=interval_over_images(accuracies, outcomes.half_accuracies, images=len(pool.labels)),
            n=len(accuracies),
            selected_on="none",
            evaluated_on=settings.split,
            extra_metrics=_about(episodes, pool, halves) | _episode_interval(accuracies),
            seconds={"fit": drawn - started, "score": time.perf_counter() - drawn},
            outcomes=outcomes,
        )


PROBES.register("fewshot")(FewshotProbe())


@dataclass(frozen=True, eq=False)
class _Pool:
    """The rows that episodes are drawn from: those of classes that are large enough.

    Attributes:
        x: ``[n, d]`` float32, rows of unit length.
        labels: ``[n]``.
        names: ``[n]`` of the form ``split:id``.
        groups: ``[n]``, or None where each row is its own group.
        classes: of all rows, also of those that are too small.
    """

    x: Tensor
    labels: NDArray[np.int64]
    names: list[str]
    groups: list[str] | None
    classes: int


def _pool(splits: Mapping[str, Features], settings: FewshotSettings) -> _Pool:
    """The rows of the chosen split, or of all.

    Raises: DataError: if there is no such split, or too few classes have enough rows.
    """
    chosen = {name: part for name, part in splits.items() if settings.split in ("all", name)}
    if not chosen:
        raise DataError(f"There is no split {settings.split!r} to draw episodes from, only {', '.join(splits)}.")
    for name, part in chosen.items():
        require_finite(part.x, what=f"{part.data} {name}, layer {part.layer}", ids=part.ids)
    rows = concatenate(
        [
            replace(part, ids=[f"{name}:{row}" for row in part.ids], targets={}, augmented=())
            for name, part in chosen.items()
        ],
        split=settings.split,
    )
    _require_ways(rows.labels, settings)
    classes = len(np.unique(rows.labels))
    many = np.bincount(rows.labels)[rows.labels] >= (settings.min_rows_per_class or 0)  # [n]
    rows = rows if many.all() else rows.rows(many)
    x = torch.nn.functional.normalize(torch.from_numpy(np.asarray(rows.x)).float())
    groups = None if rows.groups is None or len(set(rows.groups)) == len(rows) else list(rows.groups)
    return _Pool(x, rows.labels, list(rows.ids), groups, classes)


def _halves(pool: _Pool, shape: Shape, seed: int) -> Halves | None:
    """Halves of the classes that take part, as row numbers of the pool."""
    eligible = eligible_classes(pool.labels, shape, pool.groups)
    part = np.flatnonzero(np.isin(pool.labels, sorted(eligible)))
    names = [pool.names[i] for i in part.tolist()]
    groups = None if pool.groups is None else [pool.groups[i] for i in part.tolist()]
    halves = draw_halves(pool.labels[part], names, shape, seed=seed, groups=groups)
    return halves and Halves(part[halves.support], part[halves.query])


def answered(
    x: Tensor,
    digest: str,
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    halves: Halves | None,
    settings: FewshotSettings,
) -> Outcomes:
    """Right answers of all episodes, and of those of the halves.

    Args:
        x: ``[n, d]`` float32, rows of unit length.
        digest: of the episodes.
        rows: support ``[e, ways, shots]`` and query ``[e, ways, queries]`` row numbers.
        halves: episodes of halves of the rows.
        settings: how episodes are solved.
    """
    answer = partial(
        right_answers,
        x,
        method=settings.solver,
        penalty=settings.strength,
        device=choose_compute().device,
    )
    right = answer(*rows)
    ways_and_queries = int(np.prod(rows[1].shape[1:]))
    if halves is None:
        return episode_outcomes(digest, right, answers=ways_and_queries)
    in_halves = answer(*(part.reshape(-1, *part.shape[4:]) for part in (halves.support, halves.query)))
    return episode_outcomes(
        digest,
        right,
        answers=ways_and_queries,
        halves=in_halves.reshape(halves.support.shape[:4]).sum(axis=3),
        half_answers=halves.answers,
    )


def _require_ways(labels: NDArray[np.int64], settings: FewshotSettings) -> None:
    """Refuse what too few classes have the rows for, and say how many shots they would do for.

    Raises: DataError: then.
    """
    ways, queries = settings.ways, settings.queries
    rows = np.sort(np.unique(labels, return_counts=True)[1])[::-1]  # of each class, the largest first
    needed = max(settings.min_rows_per_class or 0, settings.shots + queries)
    enough = int((rows >= needed).sum())
    if enough >= ways:
        return
    most = int(rows[ways - 1]) - queries if len(rows) >= ways else 0
    asked = f"{ways}-way episodes of {counted(needed - queries, 'shot')}"
    if needed > settings.shots + queries:
        asked = f"{ways}-way episodes of {settings.shots} and up to {counted(needed - queries, 'shot')}"
    remedy = f": {counted(most, 'shot')} would do" if most > 0 else _smaller(rows[:ways], settings)
    raise DataError(
        f"{asked} and {counted(queries, 'query', 'queries')} need {ways} classes of at least {needed} rows; "
        f"{enough} of {len(rows)} have them. Ask for fewer --ways, --shots or --queries{remedy}."
    )


def _require_shots(train: Features, shots: int) -> None:
    """Refuse shots that no class has the rows for: every draw would be all rows.

    Raises: DataError: with the largest number of shots that would do.
    """
    most = int(np.bincount(train.labels).max())
    if shots > most:
        raise DataError(
            f"all-way classification with {counted(shots, 'shot')} needs a class of at least {shots} rows; the "
            f"largest class of {train.data} {train.split} has {most}. Ask for fewer --shots: "
            f"{counted(most, 'shot')} would do."
        )


def _smaller(rows: NDArray[np.int64], settings: FewshotSettings) -> str:
    """What these classes, of so many rows each, the largest first, would do for."""
    rows = rows[rows > 1]
    if len(rows) < 2:
        return ""
    shots = min(settings.shots, int(rows[-1]) - 1)
    queries = min(settings.queries, int(rows[-1]) - shots)
    return f": --ways {len(rows)} --shots {shots} --queries {queries} would do"


def _about(episodes: Episodes, pool: _Pool, halves: Halves | None) -> dict[str, Any]:
    """What took part, and what the halves look like that the interval is made of."""
    taking_part = len(np.unique(pool.labels)) - episodes.left_out
    found: dict[str, Any] = {
        "episodes": episodes.digest,
        "classes": taking_part,
        "classes_left_out": pool.classes - taking_part,
    }
    if halves is not None:
        b, _, batches, m, _, queries = halves.query.shape
        found["halves"] = {
            "halvings": b,
            "episodes_per_half": batches * m,
            "shots": halves.shots,
            "queries": queries,
        }
    return found


def _episode_interval(accuracies: NDArray[np.float64]) -> dict[str, Any]:
    """The interval that few-shot papers print: over episodes of these very images."""
    over = mean_interval(accuracies)
    return {"episode_interval": [over.low, over.high]}


def _allway_score(splits: Mapping[str, Features], settings: FewshotSettings, seed: int) -> Score:
    """Mean over draws, with an interval over test rows and draws; that of one draw is over test rows."""
    started = time.perf_counter()
    train_and_test(splits)  # refuses what cannot be fitted or scored
    train, test = splits["train"], splits["test"]
    require_two_classes(train)
    _require_shots(train, settings.shots)
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
        extra_metrics=_about_draws(train, test, draws, settings.shots) | {"accuracies": accuracies.tolist()},
        seconds={"fit": drawn - started, "score": time.perf_counter() - drawn},
        outcomes=row_outcomes(
            test.ids,
            hits.sum(0),
            answers=len(hits),
            groups=test.groups,
            draws=hits.sum(1).tolist() if len(hits) > 1 else (),
        ),
    )


def _about_draws(train: Features, test: Features, draws: Sequence[NDArray[np.int64]], shots: int) -> dict[str, Any]:
    """Which rows were fitted, and how many classes had too few of them, or none."""
    counts = np.bincount(train.labels)
    return {
        "draws": digest_of([[train.ids[row] for row in rows.tolist()] for rows in draws]),
        "classes": int((counts > 0).sum()),
        "classes_of_fewer_rows": int(((counts > 0) & (counts < shots)).sum()),
        "classes_only_in_test": len(np.setdiff1d(test.labels, train.labels)),
    }
