import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from transferkit.core.errors import DamagedError, DataError
from transferkit.core.seeding import generator
from transferkit.probes.episodes import Episodes, Shape, draw_episodes, episodes_for

LABELS = np.repeat(np.arange(7), [30, 25, 20, 20, 20, 9, 8])
NAMES = [f"leaf/{i:03}.jpg" for i in range(len(LABELS))]
SHAPE = Shape(ways=3, shots=5, queries=6, episodes=20)


GROUPS = [f"photo {i // 4}" for i in range(len(LABELS))]  # some have rows of two classes


def drawn(shape=SHAPE, labels=LABELS, names=NAMES, seed=0, groups=None):
    return draw_episodes(labels, names, shape, seed=seed, groups=groups)


def same(a, b):
    return a.to_json() == b.to_json()


def test_what_an_episode_is():
    episodes = drawn()
    assert episodes.support.shape == (20, 3, 5)
    assert episodes.query.shape == (20, 3, 6)
    for classes, support, query in zip(episodes.classes, episodes.support, episodes.query, strict=True):
        assert len(set(classes.tolist())) == 3
        assert len({*support.ravel().tolist(), *query.ravel().tolist()}) == 3 * 11
        assert (LABELS[support] == classes[:, None]).all()
        assert (LABELS[query] == classes[:, None]).all()


def test_every_eligible_class_and_row_is_drawn_alike():
    episodes = drawn(replace(SHAPE, episodes=2000))
    times = np.bincount(episodes.classes.ravel(), minlength=7)
    assert (times[5:] == 0).all()  # 9 and 8 rows, where 11 are needed
    assert_array_equal(abs(times[:5] - 1200) < 100, True)
    of_first = np.bincount(episodes.query[episodes.classes == 0].ravel(), minlength=30)[:30]
    assert of_first.min() > 0.7 * of_first.mean()


def test_small_classes_are_left_out_and_counted():
    assert drawn().left_out == 2
    assert drawn(replace(SHAPE, shots=2)).left_out == 0
    assert drawn(replace(SHAPE, shots=3)).left_out == 1


def test_one_more_episode_changes_no_other():
    few, more = drawn(), drawn(replace(SHAPE, episodes=30))
    assert_array_equal(more.support[:20], few.support)
    assert_array_equal(more.query[:20], few.query)


def test_more_shots_keep_queries_and_supports():
    labels = np.repeat(np.arange(5), 40)
    names = [f"{i:03}" for i in range(200)]
    one, five, twenty = (drawn(replace(SHAPE, shots=k), labels, names) for k in (1, 5, 20))
    assert_array_equal(five.query, one.query)
    assert_array_equal(five.support[..., :1], one.support)
    assert_array_equal(twenty.query, one.query)
    assert_array_equal(twenty.support[..., :5], five.support)


def test_order_of_rows_does_not_matter():
    order = generator(0, "order").permutation(len(NAMES))
    assert same(drawn(), drawn(labels=LABELS[order], names=[NAMES[i] for i in order]))


def test_seeds_differ_and_repeat():
    assert same(drawn(seed=1), drawn(seed=1))
    assert not same(drawn(seed=1), drawn(seed=2))


def test_the_draw_is_pinned():
    """Episodes must be the same in all versions; a change would change the numbers of all users."""
    episodes = drawn(Shape(ways=2, shots=1, queries=2, episodes=2))
    assert episodes.classes.tolist() == [[0, 5], [6, 1]]
    assert episodes.query.tolist() == [[[20, 29], [120, 122]], [[130, 125], [36, 32]]]


def test_episodes_without_groups_are_those_of_all_versions():
    digest = "59657d88985f2e7afd3c8778063599b9d446c6e12979ea2fd332921d821d1ba9"
    assert drawn(Shape(ways=5, shots=5, queries=15, episodes=600)).digest == digest


def test_rows_are_found_by_name():
    episodes = drawn()
    order = generator(0, "order").permutation(len(NAMES))
    support, query = episodes.rows([NAMES[i] for i in order])
    assert_array_equal(order[support], episodes.support)
    assert_array_equal(order[query], episodes.query)


def test_rows_that_are_not_there_are_refused():
    missing = NAMES[int(drawn().query[0, 0, 0])]
    with pytest.raises(DataError, match=r"drawn from other rows: 'leaf/.*' is not among the 131 here"):
        drawn().rows([name for name in NAMES if name != missing])


def test_a_file_replays_them(tmp_path):
    episodes = drawn()
    episodes.save(tmp_path / "e.json")
    loaded = Episodes.load(tmp_path / "e.json")
    assert same(loaded, episodes)
    assert loaded.digest == episodes.digest
    first = json.loads((tmp_path / "e.json").read_text())["drawn"][0]
    assert first["classes"] == episodes.classes[0].tolist()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ways": 0, "shots": 1, "queries": 1, "episodes": 1}'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(DamagedError, match=r"e\.json holds no episodes .* Delete it"):
        Episodes.load(tmp_path / "e.json")


def test_a_file_that_was_changed_is_refused(tmp_path):
    drawn().save(tmp_path / "e.json")
    kept = json.loads((tmp_path / "e.json").read_text())
    kept["drawn"][3]["query"][0][0] += 1
    (tmp_path / "e.json").write_text(json.dumps(kept))
    with pytest.raises(DamagedError, match=r"e\.json is not as it was written"):
        Episodes.load(tmp_path / "e.json")


def test_a_folder_keeps_one_file_for_one_question(tmp_path):
    first = episodes_for(tmp_path, LABELS, NAMES, SHAPE, seed=0)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    assert same(episodes_for(tmp_path, LABELS, NAMES, SHAPE, seed=0), first)
    assert path.stat().st_mtime_ns == written
    assert same(episodes_for(None, LABELS, NAMES, SHAPE, seed=0), first)


def test_a_kept_file_is_what_is_replayed(tmp_path):
    episodes_for(tmp_path, LABELS, NAMES, SHAPE, seed=0)
    (path,) = tmp_path.iterdir()
    drawn(seed=5).save(path)
    assert episodes_for(tmp_path, LABELS, NAMES, SHAPE, seed=0).seed == 5


def test_whatever_changes_the_draw_has_its_own_file(tmp_path):
    questions = [
        (LABELS, NAMES, SHAPE, 0),
        (LABELS, NAMES, SHAPE, 1),
        ((LABELS + 1) % 7, NAMES, SHAPE, 0),
        (LABELS, [f"new/{name}" for name in NAMES], SHAPE, 0),
        *((LABELS, NAMES, replace(SHAPE, **{name: 4}), 0) for name in ("ways", "shots", "queries", "episodes")),
    ]
    for labels, names, shape, seed in questions:
        episodes_for(tmp_path, labels, names, shape, seed=seed)
    assert len(list(tmp_path.iterdir())) == len(questions)


def test_too_few_classes_are_refused():
    words = (
        "4-way episodes of 20 shots and 6 queries need 4 classes of at least 26 rows; 1 of 7 have them. "
        "Use fewer --ways, --shots or --queries."
    )
    with pytest.raises(DataError, match=words):
        drawn(Shape(ways=4, shots=20, queries=6, episodes=2))


def test_names_that_repeat_are_refused():
    with pytest.raises(DataError, match=r"'leaf/003\.jpg' occurs twice"):
        drawn(names=[*NAMES[:-1], NAMES[3]])


def test_support_and_queries_never_share_a_group():
    episodes = drawn(replace(SHAPE, shots=3, queries=4, episodes=300), groups=GROUPS)
    of_row = np.array(GROUPS)
    for support, query in zip(of_row[episodes.support].tolist(), of_row[episodes.query].tolist(), strict=True):
        assert not {group for way in support for group in way} & {group for way in query for group in way}
    assert len(set(episodes.support.ravel().tolist())) > 100  # of 132 rows


def test_rows_of_an_episode_with_groups_are_different_ones_of_its_classes():
    episodes = drawn(replace(SHAPE, shots=3, queries=4), groups=GROUPS)
    for classes, support, query in zip(episodes.classes, episodes.support, episodes.query, strict=True):
        assert len({*support.ravel().tolist(), *query.ravel().tolist()}) == 3 * 7
        assert (LABELS[support] == classes[:, None]).all()
        assert (LABELS[query] == classes[:, None]).all()


def test_groups_make_every_row_a_query_and_a_support_alike():
    labels, groups = np.repeat(np.arange(3), 24), [f"{i // 4:02}" for i in range(72)]
    names = [f"{i:02}" for i in range(72)]
    episodes = drawn(Shape(3, 2, 5, 2000), labels, names, groups=groups)
    for rows, expected in ((episodes.query, 2000 * 5 / 24), (episodes.support, 2000 * 2 / 24)):
        times = np.bincount(rows.ravel(), minlength=72)
        assert_array_equal(abs(times - expected) < 6 * expected**0.5, True)


def test_more_shots_keep_queries_and_supports_where_groups_leave_room():
    labels, groups = np.repeat(np.arange(5), 40), [f"{i // 4:02}" for i in range(200)]
    names = [f"{i:03}" for i in range(200)]
    one, five = (drawn(replace(SHAPE, shots=k), labels, names, groups=groups) for k in (1, 5))
    assert_array_equal(five.query, one.query)
    assert_array_equal(five.support[..., :1], one.support)


def test_order_of_rows_with_groups_does_not_matter():
    order = generator(0, "order").permutation(len(NAMES))
    shape = replace(SHAPE, shots=3, queries=4)
    moved = drawn(shape, LABELS[order], [NAMES[i] for i in order], groups=[GROUPS[i] for i in order])
    assert same(drawn(shape, groups=GROUPS), moved)


def test_a_class_takes_part_if_its_groups_can_be_divided():
    labels = np.repeat(np.arange(4), 12)
    groups = [*(f"{i // 3}" for i in range(36)), *(f"one {i // 9}" for i in range(12))]  # of 9 and 3 rows
    names = [f"{i:02}" for i in range(48)]
    assert drawn(Shape(3, 3, 9, 20), labels, names, groups=groups).left_out == 0
    found = drawn(Shape(3, 3, 8, 20), labels, names, groups=groups[:36] + ["one"] * 12)
    assert (found.left_out, set(found.classes.ravel().tolist())) == (1, {0, 1, 2})


def test_too_few_classes_whose_groups_can_be_divided_are_refused():
    labels, groups = np.repeat(np.arange(4), 20), [f"photo {i // 10}" for i in range(80)]
    names = [f"{i:02}" for i in range(80)]
    with pytest.raises(DataError) as caught:
        drawn(Shape(3, 5, 15, 10), labels, names, groups=groups)
    assert str(caught.value) == (
        "3-way episodes of 5 shots and 15 queries need 3 classes with so many rows in different groups, as "
        "no group may be in the support and in the queries of one episode; 0 of 4 have them. Use fewer "
        "--ways, --shots or --queries: --ways 3 --shots 5 --queries 10 is possible."
    )
    drawn(Shape(3, 5, 10, 10), labels, names, groups=groups)
    with pytest.raises(DataError, match=r"0 of 4 have them\..* or give the classes more groups"):
        drawn(SHAPE, labels, names, groups=[f"photo {label}" for label in labels])


def test_groups_of_several_classes_that_leave_no_episode_are_refused():
    labels, groups = np.repeat(np.arange(3), 8), [f"patient {i % 2}" for i in range(24)]
    names = [f"{i:02}" for i in range(24)]
    drawn(Shape(3, 4, 4, 10), labels, names, groups=groups)
    pairs = (("a", "b"), ("c", "a"), ("b", "c"))  # whatever side a is on, b and c are on the other
    groups = [pairs[i // 8][i % 2] for i in range(24)]
    with pytest.raises(
        DataError,
        match=r"Episode 0 cannot be drawn: in 20 divisions, groups with rows of several classes left",
    ):
        drawn(Shape(3, 4, 4, 10), labels, names, groups=groups)


def test_groups_of_several_classes_have_no_shots_suggested():
    labels, groups = np.repeat(np.arange(3), 4), [f"patient {i % 2}" for i in range(12)]
    with pytest.raises(DataError, match=r"or --queries, or give the classes more groups\.$"):
        drawn(Shape(3, 1, 3, 1), labels, [f"{i:02}" for i in range(12)], groups=groups)


def test_groups_have_a_file_of_their_own(tmp_path):
    shape = replace(SHAPE, shots=3, queries=4)
    for groups in (None, GROUPS, [f"x{group}" for group in GROUPS]):
        kept = episodes_for(tmp_path, LABELS, NAMES, shape, seed=0, groups=groups)
        assert same(kept, drawn(shape, groups=groups))
    assert len(list(tmp_path.iterdir())) == 3
