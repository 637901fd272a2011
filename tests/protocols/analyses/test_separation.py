import numpy as np
import pytest

from tests.protocols.analyses.pictures import MODEL, STAGES, place
from transferkit.analysis.separation import separation
from transferkit.core.errors import DataError
from transferkit.core.features import Features
from transferkit.core.seeding import generator
from transferkit.protocols.analyses.looking import looks
from transferkit.protocols.analyses.separation import separation_score, separation_table, separations


def test_every_layer_leaves_a_record_that_is_not_computed_twice(discs, shared):
    records = separations([MODEL], [discs], STAGES, place=place(shared))
    assert [record.layer for record in records] == ["layer1", "layer4"]
    (look,) = looks([MODEL], [discs], STAGES, place=place(shared))
    rows = look.rows("layer4")
    expected = separation(np.asarray(rows.x, np.float32), rows.labels)
    assert records[1].value == expected.class_separation
    assert records[1].also["intra_cosine"] == expected.intra_cosine
    assert records[1].ci_low < records[1].value < records[1].ci_high
    again = separations([MODEL], [discs], STAGES, place=place(shared))
    assert again.to_json() == records.to_json()
    table = separation_table(records)
    assert table.row_count == 2


def clusters(apart, n=200):
    rng = generator(0, "clusters")
    labels = np.arange(n) % 2
    x = rng.normal(size=(n, 5))
    x[:, 0] += apart * (2 * labels - 1)
    return Features(x.astype(np.float32), labels, [str(i) for i in range(n)], ("a", "b"))


def test_clusters_that_lie_farther_apart_are_more_separate():
    near, far = (separation_score(clusters(apart), seed=0) for apart in (0.5, 5))
    assert near.interval.high < far.interval.low
    assert far.value > 0.7


def test_features_without_a_direction_are_refused():
    rows = Features(np.zeros((6, 3), np.float32), np.arange(6) % 2, list("abcdef"), ("a", "b"), data="d")
    with pytest.raises(DataError, match="d, layer last: classes cannot be told apart"):
        separation_score(rows, seed=0)
