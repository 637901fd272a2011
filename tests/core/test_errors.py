import inspect
import re

import pytest

from transferkit.core import errors
from transferkit.core.errors import MissingExtraError, TransferkitError, UnknownNameError

CLASSES = {
    cls.__name__: cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, TransferkitError)
}
BRANCH = re.compile(r"^(?P<branch>[│├└─ ]*)(?P<name>\w+Error) +(?P<meaning>\S.*)$")


def drawn_tree() -> dict[str, tuple[str | None, str]]:
    """Return the tree in the module's docstring: class → parent and meaning."""
    tree: dict[str, tuple[str | None, str]] = {}
    trail: list[str] = []
    for line in inspect.cleandoc(errors.__doc__ or "").splitlines():
        if found := BRANCH.match(line.removeprefix("    ")):
            depth = len(found["branch"]) // 4
            trail = [*trail[:depth], found["name"]]
            tree[found["name"]] = (trail[-2] if depth else None, found["meaning"])
    return tree


def test_the_documented_tree_is_the_tree_of_classes():
    parents = {
        name: next((base.__name__ for base in cls.__bases__ if base.__name__ in CLASSES), None)
        for name, cls in CLASSES.items()
    }
    assert {name: parent for name, (parent, _) in drawn_tree().items()} == parents


@pytest.mark.parametrize("name", CLASSES)
def test_second_base_classes_are_documented(name):
    cls, meaning = CLASSES[name], drawn_tree()[name][1]
    extra_metrics = re.findall(r"also an? (\w+)", meaning)
    foreign = {base.__name__ for base in cls.__bases__} - CLASSES.keys() - {"Exception", "KeyError"}
    assert set(extra_metrics) == foreign


@pytest.mark.parametrize("name", CLASSES)
def test_exit_codes_are_1_or_2_for_usage_errors(name):
    cls = CLASSES[name]
    assert cls.exit_code == (2 if issubclass(cls, errors.UsageError) else 1)
    if said := re.search(r"exit (\d)", drawn_tree()[name][1]):
        assert int(said[1]) == cls.exit_code


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - {"MissingExtraError"}))
def test_the_text_of_an_error_is_its_message(name):
    assert str(CLASSES[name]("Leaves has 'no' split.")) == "Leaves has 'no' split."


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        raise UnknownNameError("No model named 'x'.")


def test_a_missing_extra_names_the_remedy():
    error = MissingExtraError("pyarrow", extra="parquet", purpose="to write .parquet files")
    assert isinstance(error, ImportError)
    assert str(error) == (
        "pyarrow is needed to write .parquet files. Install it with: pip install 'transferkit[parquet]'"
    )
