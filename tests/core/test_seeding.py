import numpy as np
import pytest

from transferkit.core.seeding import generator, seed_of


def test_the_same_numbers_on_every_machine():
    assert seed_of(0) == 4066689987807800415
    assert seed_of(0, "fewshot", "mini/digits", 5, 17) == 3784833780463929709
    assert generator(0, "x").integers(1000, size=4).tolist() == [903, 908, 466, 131]
    np.testing.assert_allclose(generator(0, "x").standard_normal(2), [-0.31124434, 0.06620457], rtol=1e-6)


@pytest.mark.parametrize(
    "other", [(1, "ab", "c"), (0, "a", "bc"), (0, "abc"), (0, "c", "ab"), (0, "ab", "c", ""), (0,)]
)
def test_other_seeds_and_labels_give_other_draws(other):
    assert seed_of(*other) != seed_of(0, "ab", "c")
    assert (generator(*other).integers(2**60, size=4) != generator(0, "ab", "c").integers(2**60, size=4)).all()


def test_numpy_integers_seed_like_python_ones():
    assert seed_of(np.int64(3), "draw", np.int64(7)) == seed_of(3, "draw", 7)


def test_a_draw_does_not_depend_on_draws_before_it():
    before = generator(0, "episode", 4).random()
    for draw in range(4):
        generator(0, "episode", draw).random(100)
    assert generator(0, "episode", 4).random() == before


def test_generators_of_neighbouring_labels_are_independent():
    first = np.array([generator(0, "draw", i).random() for i in range(2000)])
    assert abs(first.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 2000)
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 4 / np.sqrt(2000)
