"""Class separation of each layer, and the spread and rank of its features."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from ...analysis.separation import Separation, class_separation_interval, separation
from ...analysis.spectrum import effective_rank, spectrum_decay
from ...core.errors import DataError
from ...core.features import Features
from ...core.results import Result, Score
from ..layer_features import LayerFeatures
from .analysis import Analysis

MOST_ROWS = 10_000
"""Maximum number of rows over all splits; larger data sets are subsampled evenly."""


class SeparationAnalysis(Analysis):
    """One record per model, data set and layer; its value is the class separation."""

    classified = "class separation"

    def records(self, models: Sequence[LayerFeatures], settings: None, *, force: bool = False) -> Iterator[Result]:
        """Yield one record per layer, then raise an error for layers whose class separation is undefined."""
        problems: list[str] = []
        for one, layer in [(model, layer) for model in models for layer in model.layers]:

            def score(one: LayerFeatures = one, layer: str = layer) -> Score:
                return separation_score(one.all_splits(layer))

            try:
                yield one.reuse_or_score("separation", layer, {"rows": MOST_ROWS}, score, force=force)
            except DataError as error:
                problems.append(f"{one.model} on {error}")
        if problems:
            raise DataError(" ".join(problems))


ANALYSIS = SeparationAnalysis()


def separation_score(rows: Features) -> Score:
    """Score the class separation, with its jackknife interval over rows or groups, and add all other numbers.

    Raises: DataError: if the class separation is undefined, saying why.
    """
    if len(rows) > MOST_ROWS:
        rows = rows.rows(np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64))
    x = np.asarray(rows.x, np.float32)
    found, interval = separation(x, rows.labels), class_separation_interval(x, rows.labels, rows.groups)
    if found.class_separation is None or interval is None:
        reason = _undefined(found, len(x))
        raise DataError(f"{rows.data}, layer {rows.layer}: class separation is undefined, for {reason}")
    return Score(
        metric="class_separation",
        value=found.class_separation,
        interval=interval,
        n=len(x),
        selected_on="none",
        evaluated_on="all",
        extra_metrics={**asdict(found), "effective_rank": effective_rank(x), "spectrum_decay": spectrum_decay(x)},
    )


def _undefined(found: Separation, n: int) -> str:
    """Return the reason why the class separation of ``n`` rows is undefined, and what to do."""
    if found.zero_rows == n:
        return f"all {n} rows are zero. Choose another of --layers."
    if found.intra_cosine is None:
        return f"no class has two rows that are not zero, of {n} in all. Take more rows of each class."
    return f"all {n - found.zero_rows} rows that are not zero point the same way. Choose another of --layers."
