"""Robustness: accuracy and calibration of a linear probe, fitted on clean and scored on corrupted images."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ...core.features import Features
from ...core.groups import joined_groups
from ...core.proportions import accuracy_interval
from ...core.results import Result, Results, Score
from ...data.variants import PLAIN
from ...probes.calibration import expected_calibration_error, negative_log_likelihood
from ...probes.estimators import LinearProbe
from ..layer_features import LayerFeatures
from .analysis import Analysis
from .robustness_settings import RobustnessSettings


class RobustnessAnalysis(Analysis):
    """One record per model, data set, layer, corruption and severity; its value is the accuracy."""

    settings_type = RobustnessSettings
    classified = "robustness"
    needs_images = True

    def records(
        self, models: Sequence[LayerFeatures], settings: RobustnessSettings, *, force: bool = False
    ) -> Iterator[Result]:
        """Yield the records of each layer.

        Raises: DataError: if a data set has no train or no test.
        """
        for one in models:
            _require_splits(one)
            for layer in one.layers:
                yield from _of_layer(one, layer, settings, force=force)


ANALYSIS = RobustnessAnalysis()


def _require_splits(source: LayerFeatures) -> None:
    splits = source.dataset.splits
    for name in ("train", "test"):
        if name not in splits:
            raise DataError(
                f"{source.dataset.spec} has no split {name!r}, only {', '.join(splits)}: the probe is fitted "
                "on train and scored on test. Choose a data set with both."
            )


def _of_layer(source: LayerFeatures, layer: str, settings: RobustnessSettings, *, force: bool) -> Results:
    fitted: list[LinearProbe] = []

    def probe() -> LinearProbe:
        """Return the probe, fitted on first use."""
        if not fitted:
            fitted.append(_fit(source.splits(layer), settings))
        return fitted[0]

    cells = [(PLAIN, "clean", 0)]
    cells += [(f"{kind}:{level}", kind, level) for kind in settings.corruptions for level in settings.severities]
    records = []
    for variant, kind, severity in cells:

        def score(variant: str = variant) -> Score:
            return _score(probe(), _test_rows(source, layer, variant))

        cell = {"corruption": kind, "severity": severity, "penalties": settings.penalties}
        records.append(source.reuse_or_score("robustness", layer, cell, score, force=force))
    return Results(records)


def _fit(splits: Mapping[str, Features], settings: RobustnessSettings) -> LinearProbe:
    """Fit the probe on clean train and val; the penalty is selected on a fifth of them, never on test."""
    parts = [part for name, part in splits.items() if name != "test"]
    x = np.concatenate([np.asarray(part.x, np.float32) for part in parts])
    penalties = np.geomspace(1e-6, 1e5, settings.penalties).tolist()
    probe = LinearProbe(penalties if len(penalties) > 1 else 1.0)
    probe.fit(x, np.concatenate([part.labels for part in parts]), joined_groups(parts))
    return probe


def _test_rows(source: LayerFeatures, layer: str, variant: str) -> Features:
    if variant == PLAIN:
        return source.splits(layer)["test"]
    extractor = source.extractor.with_variant(variant)
    return extractor.open(source.dataset.split("test")).run(source.context.reporter).features(layer)


def _score(probe: LinearProbe, test: Features) -> Score:
    probabilities = np.zeros((len(test), len(test.classes)))
    probabilities[:, probe.classes_] = probe.predict_proba(np.asarray(test.x, np.float32))
    correct = probabilities.argmax(1) == test.labels  # correct predictions [n]
    return Score(
        metric="top1",
        value=float(correct.mean()),
        interval=accuracy_interval(correct, test.groups),
        n=len(test),
        selected_on="a fifth of train and val",
        evaluated_on="test",
        chosen={"penalty": probe.penalty_},
        extra_metrics={
            "ece": expected_calibration_error(probabilities, test.labels),
            "nll": negative_log_likelihood(probabilities, test.labels),
        },
    )


def severity_curves(records: Results, data: str) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return corruption → model → curve ``[s, 5]`` of the last layer on ``data``.

    The columns are severity, accuracy, the bounds of its interval, and the expected calibration error.
    """
    last = {record.model: record.layer for record in records if record.data == data}
    here = [r for r in records if r.data == data and r.layer == last[r.model]]
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for kind in dict.fromkeys(r.settings["corruption"] for r in here if r.settings["severity"]):
        for model in last:
            points = [
                (r.settings["severity"], r.value, r.ci_low, r.ci_high, r.extra_metrics["ece"])
                for r in here
                if r.model == model and r.settings["corruption"] in ("clean", kind)
            ]
            found.setdefault(kind, {})[model] = np.array(sorted(points), dtype=np.float64)
    return found
