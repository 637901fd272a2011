"""Numbers in sentences."""

from transferkit.core.wording import counted, spread


def test_one_is_singular_and_any_other_number_is_plural():
    assert [counted(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [counted(n, "query", "queries") for n in (1, 15)] == ["1 query", "15 queries"]


def test_a_spread_of_equal_numbers_is_one_number():
    assert (spread([4, 4]), spread([7, 4, 5])) == ("4", "4 to 7")
