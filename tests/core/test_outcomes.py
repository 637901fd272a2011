import json

import numpy as np
import pytest

from transferkit.core.errors import DataError, ShapeError
from transferkit.core.outcomes import Outcomes, episode_outcomes, require_same_units, row_outcomes

ROWS = row_outcomes(["a", "b", "c"], np.array([True, False, True]))
EPISODES = episode_outcomes("e" * 64, np.array([75, 0, 40]), predictions=75)
HALVES = np.array([[[8, 9], [7, 6]], [[5, 4], [10, 0]]])
HALVED = episode_outcomes("e" * 64, [75, 0, 40], predictions=75, halves=HALVES, half_predictions=10)


def test_single_predictions_read_as_digits_and_several_as_numbers():
    assert ROWS.to_json() == {"unit": "rows", "of": ROWS.of, "predictions": 1, "correct": "101"}
    assert EPISODES.to_json() == {"unit": "episodes", "of": "e" * 64, "predictions": 75, "correct": [75, 0, 40]}
    assert row_outcomes(["a", "b"], [3, 0], predictions=3).to_json()["correct"] == [3, 0]


def test_halves_are_kept_batch_by_batch():
    assert HALVED.to_json()["halves"] == [[8, 9, 7, 6], [5, 4, 10, 0]]
    assert HALVED.to_json()["half_predictions"] == 10
    assert HALVED.half_accuracies.tolist() == (HALVES / 10).tolist()
    assert EPISODES.half_accuracies is None


GROUPED = row_outcomes(["a", "b", "c", "d"], [1, 0, 0, 1], groups=["p", "q", "p", "r"])
DRAWS = row_outcomes(["a", "b"], [2, 1], predictions=2, draws=[1, 2])


@pytest.mark.parametrize("outcomes", [ROWS, EPISODES, HALVED, row_outcomes(["a"], [0]), GROUPED, DRAWS])
def test_outcomes_come_back_from_json_as_they_were(outcomes):
    assert Outcomes.from_json(json.loads(json.dumps(outcomes.to_json()))) == outcomes


def test_rows_of_a_group_stand_together_and_a_record_has_one_number_a_group():
    assert GROUPED.to_json() == {
        "unit": "rows",
        "of": GROUPED.of,
        "predictions": 1,
        "correct": "1001",  # a and c, then b, then d
        "sizes": [2, 1, 1],
    }
    assert DRAWS.to_json()["draws"] == [1, 2]
    renamed = row_outcomes(["a", "b", "c", "d"], [1, 0, 0, 1], groups=["x", "z", "x", "y"])
    assert renamed == GROUPED
    apart = row_outcomes(["a", "c", "b", "d"], [1, 0, 0, 1])
    assert apart.of != GROUPED.of  # the same rows in the same order, and yet not the same units


def test_accuracies_are_parts_of_the_predictions():
    assert len(EPISODES) == 3
    assert EPISODES.accuracies.tolist() == [1.0, 0.0, 40 / 75]
    assert ROWS.accuracies.tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("ids", [["a", "c", "b"], ["a", "b", "d"], ["a", "bc", ""]])
def test_the_digest_is_of_names_and_order(ids):
    assert row_outcomes(ids, [1, 0, 1]).of != ROWS.of
    assert row_outcomes(["a", "b", "c"], [0, 0, 0]).of == ROWS.of


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: row_outcomes(["a"], [1, 0]), r"1 rows need outcomes \[1\], not \[2\]"),
        (lambda: episode_outcomes("e", [[1]], predictions=1), r"need outcomes \[e\], not \[1, 1\]"),
        (lambda: row_outcomes(["a"], [1], groups=["p", "q"]), "1 rows need as many groups, not 2"),
        (lambda: Outcomes("rows", "d", 1, (1, 0), sizes=(3,)), "sum to 3, .* must sum to the 2 rows"),
        (lambda: Outcomes("rows", "d", 1, (1, 0), sizes=(2, 0)), "a minimum of 0: they must"),
        (lambda: Outcomes("episodes", "d", 3, (1, 0), halves=((1, 1, 1),), half_predictions=3), "needs four numbers"),
        (
            lambda: Outcomes("rows", "d", 2, (1, 0), draws=(1,)),
            "1 draws have 1 correct predictions; needed are 2,",
        ),
        (lambda: row_outcomes([], []), "0 rows with 1 predictions each have no outcome"),
        (lambda: episode_outcomes("e", [0], predictions=0), "1 episodes with 0 predictions each have no outcome"),
        (lambda: row_outcomes(["a", "b"], [2, 0]), "must be in 0 … 1, not in 0 … 2"),
        (lambda: episode_outcomes("e", [-1, 5], predictions=5), "must be in 0 … 5, not in -1 … 5"),
        (
            lambda: episode_outcomes("e", [3], predictions=5, halves=[[1, 2]]),
            r"outcomes \[b, 2, 2\], not \[1, 2\]",
        ),
        (
            lambda: episode_outcomes("e", [3], predictions=5, halves=HALVES, half_predictions=9),
            "of a half must be in 0 … 9, not in 0 … 10",
        ),
        (lambda: Outcomes("images", "d", 1, (1,)), "is 'images', but must be 'rows' or 'episodes'"),  # type: ignore[arg-type]
    ],
)
def test_invalid_outcomes_are_rejected(make, words):
    with pytest.raises(ShapeError, match=words):
        make()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (EPISODES, "scored on rows and the other on episodes"),
        (row_outcomes(["a", "b"], [1, 0]), "on 3 rows of 1 predictions, the other on 2 of 1"),
        (row_outcomes(["a", "b", "c"], [1, 0, 2], predictions=2), "on 3 rows of 1 predictions, the other on 3 of 2"),
        (
            row_outcomes(["a", "c", "b"], [1, 0, 1]),
            "on 3 different rows, or in a different order",
        ),
    ],
)
def test_outcomes_of_different_units_are_not_paired(other, words):
    with pytest.raises(DataError, match=words):
        require_same_units(ROWS, other)
    require_same_units(ROWS, row_outcomes(["a", "b", "c"], [0, 0, 0]))


def test_other_halves_are_not_paired():
    with pytest.raises(DataError, match="on 2 halvings of 10 predictions, the other on 0 of 0"):
        require_same_units(HALVED, EPISODES)
    require_same_units(HALVED, HALVED)
