import numpy as np
import pytest

from tests.protocols.analyses.flat import flatten
from tests.protocols.analyses.pictures import MODEL, STAGES, context
from transferkit.analysis.separation import separation
from transferkit.core.errors import DataError
from transferkit.core.features import Features
from transferkit.core.seeding import generator
from transferkit.protocols.analyses.analyze import analyze
from transferkit.protocols.analyses.separation import separation_score
from transferkit.protocols.evaluate import IncompleteResultsError
from transferkit.protocols.layer_features import layer_features


def test_every_layer_leaves_a_record_that_is_not_computed_twice(discs, shared):
    records = analyze("separation", [MODEL], [discs], STAGES, context=context(shared))
    assert [record.layer for record in records] == ["layer1", "layer4"]
    (source,) = layer_features([MODEL], [discs], STAGES, context=context(shared))
    rows = source.all_splits("layer4")
    expected = separation(np.asarray(rows.x, np.float32), rows.labels)
    assert records[1].value == expected.class_separation
    assert records[1].extra_metrics["intra_cosine"] == expected.intra_cosine
    assert records[1].ci_low < records[1].value < records[1].ci_high
    again = analyze("separation", [MODEL], [discs], STAGES, context=context(shared))
    assert again.to_json() == records.to_json()


def clusters(apart, n=200):
    rng = generator(0, "clusters")
    labels = np.arange(n) % 2
    x = rng.normal(size=(n, 5))
    x[:, 0] += apart * (2 * labels - 1)
    return Features(x.astype(np.float32), labels, [str(i) for i in range(n)], ("a", "b"))


def test_clusters_that_lie_farther_apart_are_more_separate():
    near, far = (separation_score(clusters(apart)) for apart in (0.5, 5))
    assert near.interval.high < far.interval.low
    assert far.value > 0.7


def rows(x, labels):
    classes = tuple("abcdef"[: max(labels) + 1])
    return Features(np.array(x, np.float32), np.array(labels), list("rstuvw")[: len(x)], classes, data="d")


@pytest.mark.parametrize(
    ("x", "labels", "words"),
    [
        (np.zeros((4, 3)), [0, 0, 1, 1], r"all 4 rows are zero\. Choose another of --layers"),
        (np.eye(3), [0, 1, 2], r"no class has two rows that are not zero, of 3 in all\. Take more rows"),
        (np.ones((4, 3)), [0, 0, 1, 1], r"all 4 rows that are not zero point the same way\. Choose another"),
    ],
)
def test_why_there_is_no_class_separation(x, labels, words):
    with pytest.raises(DataError, match=f"d, layer last: class separation is undefined, for {words}"):
        separation_score(rows(x, labels))


def test_a_layer_without_class_separation_does_not_keep_the_others_from_theirs(discs, tmp_path, monkeypatch):
    flatten(monkeypatch, but="layer4")
    with pytest.raises(IncompleteResultsError, match=f"{MODEL} on .*, layer layer1: .* point the same way") as raised:
        analyze("separation", [MODEL], [discs], STAGES, context=context(tmp_path))
    assert [record.layer for record in raised.value.results] == ["layer4"]
