import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.cache.names import Names, encoded

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(TEXT, min_size=1, max_size=9))
def test_names_come_back_as_they_were(texts):
    names = Names(encoded(texts))
    assert list(names) == texts
    assert [names[i] for i in range(len(names))] == texts
    assert names[-1] == texts[-1]
    assert list(names[1:]) == texts[1:]
    assert names == texts
    assert names != [*texts, "more"]
    assert names != 5


def test_a_file_name_in_no_known_encoding_keeps_its_bytes():
    name = b"caf\xe9.jpg".decode(errors="surrogateescape")
    texts = encoded([name, "plain.jpg"])
    assert texts[0] == b"caf\xe9.jpg"
    assert list(Names(texts)) == [name, "plain.jpg"]
    assert Names(texts)[0] == name


def test_where_picks_by_mask_down_to_none():
    names = Names(encoded(["a", "b", "c"]))
    assert names.where(np.array([True, False, True])) == ["a", "c"]
    none = names.where(np.zeros(3, bool))
    assert (len(none), list(none)) == (0, [])
    assert repr(names) == "Names(['a', 'b', 'c'])"


def test_beyond_the_end_is_an_error_as_for_any_sequence():
    with pytest.raises(IndexError):
        Names(encoded(["a"]))[1]
