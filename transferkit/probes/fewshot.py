"""Few-shot classification on frozen features: N-way K-shot episodes as in Islam et al. [1].

[1] Islam et al., A broad study on the transferability of visual representations with contrastive
    learning, ICCV 2021: 600 episodes, 5-way, 15 queries, L2-normalised features, logistic regression.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.devices import choose_compute
from ..core.errors import DataError
from ..core.features import Features, concatenate, require_finite
from ..core.files import digest_of
from ..core.half_samples import interval_over_images
from ..core.labels import require_one_label
from ..core.outcomes import Outcomes, episode_outcomes, row_outcomes
from ..core.proportions import accuracy_interval
from ..core.results import Score
from ..core.statistics import mean_interval
from ..core.wording import counted
from .allway import allway_predictions, draw_shots
from .builtin import FewshotSettings
from .classification import require_two_classes, train_and_test
from .episode_predictions import count_correct
from .episodes import Episodes, Shape, eligible_classes, episodes_for
from .halves import Halves, draw_halves
from .probe import ProbeContext


def fewshot_score(context: ProbeContext, settings: FewshotSettings) -> Score:
    """Return the mean accuracy over episodes, or over all-way draws; nothing is selected."""
    splits, seed = context.splits, context.seed
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
    episodes = episodes_for(context.episodes, pool.labels, pool.names, settings.shape, seed=seed, groups=pool.groups)
    halves = _halves(pool, settings.shape, seed)
    drawn = time.perf_counter()
    outcomes = evaluate_episodes(pool.x, episodes.digest, episodes.rows(pool.names), halves, settings)
    accuracies = outcomes.accuracies
    return Score(
        metric="accuracy",
        value=float(accuracies.mean()),
        interval=interval_over_images(accuracies, outcomes.half_accuracies, images=len(pool.labels)),
        n=len(accuracies),
        selected_on="none",
        evaluated_on=settings.episode_split,
        extra_metrics=_about(episodes, pool, halves) | _episode_interval(accuracies),
        seconds={"fit": drawn - started, "score": time.perf_counter() - drawn},
        outcomes=outcomes,
    )


@dataclass(frozen=True, eq=False)
class _Pool:
    """Rows from which episodes are drawn: those of classes that are large enough.

    Attributes:
        x: ``[n, d]`` float32, rows of unit length.
        labels: ``[n]``.
        names: ``[n]``, in the form ``split:id``.
        groups: ``[n]``, or None if each row is its own group.
        classes: number of classes, including those that are too small.
    """

    x: Tensor
    labels: NDArray[np.int64]
    names: list[str]
    groups: list[str] | None
    classes: int


def _pool(splits: Mapping[str, Features], settings: FewshotSettings) -> _Pool:
    """Return the rows of the requested split, or of all splits.

    Raises: DataError: if the split does not exist, or too few classes have enough rows.
    """
    chosen = {name: part for name, part in splits.items() if settings.episode_split in ("all", name)}
    if not chosen:
        raise DataError(
            f"There is no split {settings.episode_split!r} to draw episodes from, only {', '.join(splits)}."
        )
    for name, part in chosen.items():
        require_finite(part.x, what=f"{part.data} {name}, layer {part.layer}", ids=part.ids)
    rows = concatenate(
        [
            replace(part, ids=[f"{name}:{row}" for row in part.ids], targets={}, augmented=())
            for name, part in chosen.items()
        ],
        split=settings.episode_split,
    )
    _require_ways(rows.labels, settings)
    classes = len(np.unique(rows.labels))
    many = np.bincount(rows.labels)[rows.labels] >= (settings.min_rows_per_class or 0)  # [n]
    rows = rows if many.all() else rows.rows(many)
    x = torch.nn.functional.normalize(torch.from_numpy(np.asarray(rows.x)).float())
    groups = None if rows.groups is None or len(set(rows.groups)) == len(rows) else list(rows.groups)
    return _Pool(x, rows.labels, list(rows.ids), groups, classes)


def _halves(pool: _Pool, shape: Shape, seed: int) -> Halves | None:
    """Draw halves of the eligible classes; row numbers are those of the pool."""
    eligible = eligible_classes(pool.labels, shape, pool.groups)
    part = np.flatnonzero(np.isin(pool.labels, sorted(eligible)))
    names = [pool.names[i] for i in part.tolist()]
    groups = None if pool.groups is None else [pool.groups[i] for i in part.tolist()]
    halves = draw_halves(pool.labels[part], names, shape, seed=seed, groups=groups)
    return None if halves is None else Halves(part[halves.support], part[halves.query])


def evaluate_episodes(
    x: Tensor,
    digest: str,
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    halves: Halves | None,
    settings: FewshotSettings,
) -> Outcomes:
    """Count the correct predictions of all episodes, and of the episodes of the halves.

    Args:
        x: ``[n, d]`` float32, rows of unit length.
        digest: digest of the episodes.
        rows: support ``[e, ways, shots]`` and query ``[e, ways, queries]`` row numbers.
        halves: episodes of halves of the rows.
        settings: classifier and penalty.
    """
    count = partial(
        count_correct,
        x,
        method=settings.effective_method,
        penalty=settings.effective_penalty,
        device=choose_compute().device,
    )
    correct = count(*rows)
    predictions_per_episode = int(np.prod(rows[1].shape[1:]))
    if halves is None:
        return episode_outcomes(digest, correct, predictions=predictions_per_episode)
    flat = (part.reshape(-1, *part.shape[4:]) for part in (halves.support, halves.query))  # [b·2·2·m, ways, rows]
    in_halves = count(*flat)  # [b·2·2·m]
    return episode_outcomes(
        digest,
        correct,
        predictions=predictions_per_episode,
        halves=in_halves.reshape(halves.support.shape[:4]).sum(axis=3),
        half_predictions=halves.predictions,
    )


def _require_ways(labels: NDArray[np.int64], settings: FewshotSettings) -> None:
    """Check that enough classes have enough rows.

    Raises: DataError: if not; the message names a number of shots that is possible.
    """
    ways, queries = settings.ways, settings.queries
    rows = np.sort(np.unique(labels, return_counts=True)[1])[::-1]  # of each class, the largest first
    needed = max(settings.min_rows_per_class or 0, settings.shots + queries)
    enough = int((rows >= needed).sum())
    if enough >= ways:
        return
    most = int(rows[ways - 1]) - queries if len(rows) >= ways else 0
    asked, lower = f"{ways}-way episodes of {counted(needed - queries, 'shot')}", ""
    if needed > settings.shots + queries:  # more rows than these episodes need: requested, or for a curve over shots
        asked = f"{ways}-way episodes of {settings.shots} and up to {counted(needed - queries, 'shot')}"
        lower = ", or give a lower --min-rows-per-class"
    remedy = f": {counted(most, 'shot')} would do" if most > 0 else _smaller(rows[:ways], settings)
    raise DataError(
        f"{asked} and {counted(queries, 'query', 'queries')} need {ways} classes of at least {needed} rows; "
        f"{enough} of {len(rows)} have them. Use fewer --ways, --shots or --queries{remedy}{lower}."
    )


def _require_shots(train: Features, shots: int) -> None:
    """Check that some class has enough rows for the shots: otherwise every draw would contain all rows.

    Raises: DataError: if not; the message names the largest possible number of shots.
    """
    most = int(np.bincount(train.labels).max())
    if shots > most:
        raise DataError(
            f"all-way classification with {counted(shots, 'shot')} needs a class of at least {shots} rows; the "
            f"largest class of {train.data} {train.split} has {most}. Use fewer --shots: "
            f"{counted(most, 'shot')} would do."
        )


def _smaller(rows: NDArray[np.int64], settings: FewshotSettings) -> str:
    """Return options that are possible with classes of ``rows`` rows each, the largest first."""
    rows = rows[rows > 1]
    if len(rows) < 2:
        return ""
    shots = min(settings.shots, int(rows[-1]) - 1)
    queries = min(settings.queries, int(rows[-1]) - shots)
    return f": --ways {len(rows)} --shots {shots} --queries {queries} is possible"


def _about(episodes: Episodes, pool: _Pool, halves: Halves | None) -> dict[str, Any]:
    """Return the record entries about episodes, classes and halves."""
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
    """Return the interval over episodes of the given images, as few-shot papers report it; null for one episode."""
    over = mean_interval(accuracies)
    return {"episode_interval": [over.low, over.high] if len(accuracies) > 1 else [None, None]}


def _allway_score(splits: Mapping[str, Features], settings: FewshotSettings, seed: int) -> Score:
    """Return the mean over draws, with an interval over test rows and, if there are several, draws."""
    started = time.perf_counter()
    train_and_test(splits)  # raises for splits that cannot be fitted or scored
    train, test = splits["train"], splits["test"]
    require_two_classes(train)
    _require_shots(train, settings.shots)
    draws = [
        draw_shots(train.labels, train.ids, shots=settings.shots, seed=seed, repeat=repeat)
        for repeat in range(settings.repeats)
    ]
    drawn = time.perf_counter()
    x, labels, queries = (torch.from_numpy(np.asarray(part)) for part in (train.x, train.labels, test.x))
    predict = partial(
        allway_predictions,
        method=settings.effective_method,
        penalty=settings.effective_penalty,
        device=choose_compute().device,
    )
    predictions = [predict(x[rows], labels[rows], queries).numpy() for rows in map(torch.from_numpy, draws)]
    hits = np.array([predicted == test.labels for predicted in predictions])  # [repeats, n]
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
            predictions=len(hits),
            groups=test.groups,
            draws=hits.sum(1).tolist() if len(hits) > 1 else (),
        ),
    )


def _about_draws(train: Features, test: Features, draws: Sequence[NDArray[np.int64]], shots: int) -> dict[str, Any]:
    """Return the record entries about the fitted rows, and the numbers of classes with too few of them."""
    counts = np.bincount(train.labels)
    return {
        "draws": digest_of([[train.ids[row] for row in rows.tolist()] for rows in draws]),
        "classes": int((counts > 0).sum()),
        "classes_of_fewer_rows": int(((counts > 0) & (counts < shots)).sum()),
        "classes_only_in_test": len(np.setdiff1d(test.labels, train.labels)),
    }
