import threading

import numpy as np
import pytest

from tests.cache.filling import IDS, KEY, READ, begun, contents, fill, filled, truth, write
from transferkit.core.errors import CacheError, NonFiniteError, ShapeError


@pytest.fixture
def claim(tmp_path):
    with next(begun(tmp_path).claim(["stem", "layer1"])) as claim:
        yield claim


def right(claim):
    return {layer: truth(layer)[claim.rows] for layer in claim.layers}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: {"stem": x["stem"]}, r"needs the layers \['stem', 'layer1'\], not \['stem'\]"),
        (lambda x: {**x, "head": x["stem"]}, r"not \['stem', 'layer1', 'head'\]"),
        (lambda x: {**x, "stem": x["stem"][:-1]}, r"stem needs \[16, d\] of float16, not \[15, 6\]"),
        (lambda x: {**x, "stem": x["stem"][:, 0]}, r"stem needs \[16, d\] of float16, not \[16\]"),
        (lambda x: {**x, "stem": x["stem"][:, :0]}, r"not \[16, 0\]"),
        (lambda x: {**x, "stem": x["stem"].astype("float32")}, r"not \[16, 6\] of float32"),
    ],
)
def test_features_that_were_not_claimed_are_rejected(claim, wrong, words):
    with pytest.raises(ShapeError, match=words):
        claim.write({}, wrong(right(claim)))


def test_a_number_of_features_that_depends_on_the_image_is_rejected(tmp_path):
    entry = begun(tmp_path)
    with next(entry.claim(["stem"])) as claim:
        write(claim)
    with (
        next(entry.claim(["stem"])) as claim,
        pytest.raises(CacheError, match="stem has 5 features in this shard, but 6 in the entry's other shards"),
    ):
        claim.write({}, {"stem": truth("stem")[claim.rows][:, :5]})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_rejected_with_layer_and_row(claim, bad, tmp_path):
    features = right(claim)
    features["layer1"][7, 3] = bad
    words = rf"layer1 of random:tiny on folder:/photos train: 1 of 16 rows.*first '{IDS[7]}'"
    with pytest.raises(NonFiniteError, match=words):
        claim.write({}, features)
    assert set(contents(tmp_path)) == {f"{KEY.digest}/entry.json"}


def test_rows_that_could_not_be_read_may_hold_anything_and_are_stored_as_zeros(tmp_path):
    entry = begun(tmp_path)
    with next(entry.claim(["stem"])) as claim:
        features = {"stem": truth("stem")[claim.rows]}
        features["stem"][3] = np.nan
        kept = features["stem"].copy()
        claim.write({3: "cut\0short" + "!" * 500}, features)
        np.testing.assert_array_equal(features["stem"], kept)  # the caller's array is left alone
    fill(entry, ["stem"])
    np.testing.assert_array_equal(entry.features("stem").x, truth("stem")[READ])
    assert entry.skipped[0] == (IDS[3], "cut short" + "!" * 191)


def test_a_closed_claim_cannot_be_written(claim):
    claim.close()
    claim.close()
    with pytest.raises(CacheError, match="closed claim cannot be written"):
        claim.write({}, right(claim))


def test_other_memory_layouts_are_the_same_features(tmp_path):
    entry = begun(tmp_path / "a")
    for claim in entry.claim(["stem"]):
        with claim:
            x = np.asfortranarray(truth("stem")[claim.rows])
            claim.write({3: "cut short", 40: "not an image"}, {"stem": x})
    assert contents(tmp_path / "a") == contents(filled(tmp_path / "b", ["stem"]).folder.parent)


def test_several_claims_are_written_from_other_threads(tmp_path):
    entry = begun(tmp_path / "a")
    claims = list(entry.claim(["stem"]))
    threads = [threading.Thread(target=write, args=(claim,)) for claim in reversed(claims)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for claim in claims:
        claim.close()
    assert contents(tmp_path / "a") == contents(filled(tmp_path / "b", ["stem"]).folder.parent)
    assert [path.name for path in entry.folder.iterdir() if path.suffix == ".lock"] == []
