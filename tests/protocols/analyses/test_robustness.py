from dataclasses import replace

import numpy as np
import pytest

from tests.protocols.analyses.pictures import LAST, MODEL, context
from transferkit.core.errors import DataError, UsageError
from transferkit.probes.estimators import LinearProbe
from transferkit.protocols.analyses.analyze import analyze
from transferkit.protocols.analyses.robustness import (
    RobustnessSettings,
    severity_curves,
)
from transferkit.protocols.context import RunContext
from transferkit.protocols.layer_features import layer_features

FEW = RobustnessSettings(corruptions=("noise", "contrast"), severities=(1, 5), penalties=3)


def test_the_clean_probe_is_scored_on_every_corruption(discs, shared):
    records = analyze("robustness", [MODEL], [discs], LAST, FEW, context=context(shared))
    asked = [(r.settings["corruption"], r.settings["severity"]) for r in records]
    assert asked == [("clean", 0), ("noise", 1), ("noise", 5), ("contrast", 1), ("contrast", 5)]
    assert all(record.ci_low <= record.value <= record.ci_high for record in records)
    assert all(0 <= record.extra_metrics["ece"] <= 1 for record in records)
    (source,) = layer_features([MODEL], [discs], LAST, context=context(shared))
    parts = source.splits(source.layers[0])
    x = np.concatenate([np.asarray(parts[name].x, np.float32) for name in ("train", "val")])
    labels = np.concatenate([parts[name].labels for name in ("train", "val")])
    probe = LinearProbe(np.geomspace(1e-6, 1e5, 3).tolist()).fit(x, labels)
    test = parts["test"]
    assert records[0].value == pytest.approx(probe.score(np.asarray(test.x, np.float32), test.labels))
    assert records[0].chosen == {"penalty": probe.penalty_}
    again = analyze("robustness", [MODEL], [discs], LAST, FEW, context=context(shared))
    assert again.to_json() == records.to_json()


def test_the_curves_hold_the_numbers_of_the_records(discs, shared):
    records = analyze("robustness", [MODEL], [discs], LAST, FEW, context=context(shared))
    curves = severity_curves(records, records[0].data)
    assert set(curves) == {"noise", "contrast"}
    points = curves["noise"][MODEL]
    assert points[:, 0].tolist() == [0, 1, 5]
    assert points[:, 1].tolist() == [records[0].value, records[1].value, records[2].value]
    assert points[:, 4].tolist() == [record.extra_metrics["ece"] for record in records[:3]]


@pytest.mark.parametrize(("missing", "there"), [("test", "train, val"), ("train", "val, test")])
def test_a_set_without_test_or_train_is_refused_before_anything_is_extracted(
    discs, tmp_path, monkeypatch, missing, there
):
    found = RunContext.open

    def without(self, name):
        dataset = found(self, name)
        return replace(dataset, splits={n: s for n, s in dataset.splits.items() if n != missing})

    monkeypatch.setattr(RunContext, "open", without)
    words = f"has no split '{missing}', only {there}: .* fitted on train and scored on test"
    with pytest.raises(DataError, match=words):
        analyze("robustness", [MODEL], [discs], LAST, FEW, context=context(tmp_path))
    assert not list(tmp_path.glob("features/*"))


def test_what_does_not_exist_is_answered():
    with pytest.raises(UsageError, match="Did you mean 'noise'"):
        RobustnessSettings(corruptions=("noises",))
    with pytest.raises(UsageError, match=r"--severities 6 is unknown\. Choose from: 1, 2, 3, 4, 5"):
        RobustnessSettings(severities=(6,))
