from types import SimpleNamespace

import pytest

from transferkit.core.checks import require_choices, require_limits
from transferkit.core.errors import UsageError


def test_allowed_values_pass():
    settings = SimpleNamespace(kind="a", batch=(1, 8), lr=0.5)
    require_choices(settings, {"kind": ("a", "b")})
    require_limits(settings, {"batch": (1, 8), "lr": (0.5, float("inf"))})


def test_an_unknown_choice_is_rejected_with_the_allowed_ones():
    with pytest.raises(UsageError, match=r"^--batch-norm 'c' is unknown\. Choose from: a, b\.$"):
        require_choices(SimpleNamespace(batch_norm="c"), {"batch_norm": ("a", "b")})


@pytest.mark.parametrize(
    ("value", "limits", "words"),
    [
        (-1, (0, float("inf")), "--weight-decay -1 is invalid: give 0 or more."),
        (2.5, (0, 1), "--weight-decay 2.5 is invalid: give 0 or more and at most 1."),
        ((0.5, 3), (0, 1), "--weight-decay 3 is invalid: give 0 or more and at most 1."),
        (float("nan"), (0, float("inf")), "--weight-decay nan is invalid: give 0 or more."),
    ],
)
def test_a_number_outside_its_limits_is_rejected_by_name(value, limits, words):
    with pytest.raises(UsageError) as error:
        require_limits(SimpleNamespace(weight_decay=value), {"weight_decay": limits})
    assert str(error.value) == words
