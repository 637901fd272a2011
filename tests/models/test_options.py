import pytest

from transferkit.core.errors import UsageError
from transferkit.models.options import join_options, split_options


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("resnet50", {}),
        ("a?x=1", {"x": 1}),
        ("a?flag=True&x=0.5", {"flag": True, "x": 0.5}),
        ("a?flag=false&nothing=none", {"flag": False, "nothing": None}),
        ("a?odd={[]:1}", {"odd": "{[]:1}"}),
        ("a?size=(224,320)&pool=avg", {"size": (224, 320), "pool": "avg"}),
    ],
)
def test_options_are_read_and_spelled_again(text, options):
    name, found = split_options(text)
    assert found == options
    assert split_options(join_options(name, found)) == (name, found)


def test_the_order_of_options_does_not_matter():
    assert join_options("a", split_options("a?y=2&x=1")[1]) == "a?x=1&y=2"


@pytest.mark.parametrize("text", ["a?", "a?x", "a?x=", "a?=3", "a?x=1&", "a?x=1&2y=3"])
def test_an_option_without_a_value_is_refused(text):
    with pytest.raises(UsageError, match=r"that is not key=value\. Write options as in a\?num_heads=12"):
        split_options(text)


def test_an_option_given_twice_is_refused():
    with pytest.raises(UsageError, match="gives the option 'x' twice"):
        split_options("a?x=1&x=2")
