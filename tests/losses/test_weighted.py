import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.core.errors import UnknownNameError, UsageError
from transferkit.losses.loss import LOSSES
from transferkit.losses.weighted import Objective, parse_loss

FORM = r"Write names joined by \+.*: ce \+ 0\.5\*selfsupcon"


@pytest.mark.parametrize(
    ("spec", "weights"),
    [
        ("ce", [("ce", 1)]),
        ("supcon-batch", [("supcon-batch", 1)]),
        (" selfsupcon ", [("selfsupcon", 1)]),
        ("ce + 0.5*selfsupcon", [("ce", 1), ("selfsupcon", 0.5)]),
        ("ce+.5 * selfsupcon", [("ce", 1), ("selfsupcon", 0.5)]),
        ("2*supcon + ce", [("supcon", 2), ("ce", 1)]),
        ("1e-3*ce+1e+2*selfsupcon+1E1*supcon", [("ce", 0.001), ("selfsupcon", 100), ("supcon", 10)]),
        ("joint", [("ce", 1), ("selfsupcon", 0.5)]),
        (" joint-supcon", [("supcon", 1), ("selfsupcon", 0.5)]),
    ],
)
def test_valid_notations_are_parsed(spec, weights):
    assert parse_loss(spec) == Objective(tuple(weights))


@given(
    names=st.lists(st.sampled_from(sorted(LOSSES)), min_size=1, unique=True),
    data=st.data(),
)
def test_the_text_of_an_objective_is_parsed_to_the_same_objective(names, data):
    positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
    objective = Objective(tuple((name, data.draw(positive)) for name in names))
    assert parse_loss(str(objective)) == objective


def test_the_text_of_an_objective_is_canonical():
    assert str(parse_loss("1.0*ce+0.50*selfsupcon")) == "ce + 0.5*selfsupcon"


@pytest.mark.parametrize(
    ("spec", "views", "supervised"),
    [
        ("ce", 1, "ce"),
        ("selfsupcon", 2, None),
        ("selfsupcon + supcon", 2, "supcon"),
        ("supcon-batch", 2, "supcon-batch"),
        ("joint", 2, "ce"),
    ],
)
def test_an_objective_needs_the_inputs_of_its_terms(spec, views, supervised):
    objective = parse_loss(spec)
    assert (objective.views, objective.supervised) == (views, supervised)


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("supcom", "Did you mean 'supcon'"),
        ("jiont", "Did you mean 'joint'"),
        ("ce + 0.5*selfsupco", "Did you mean 'selfsupcon'"),
        ("vicreg", "Choose from: ce, selfsupcon, supcon, supcon-batch, joint, joint-supcon"),
    ],
)
def test_an_unknown_loss_suggests_the_nearest_name(spec, hint):
    with pytest.raises(UnknownNameError, match=hint):
        parse_loss(spec)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("-0.5*ce", "The weight of ce is -0.5, not a positive, finite number"),
        ("ce + 0*selfsupcon", "The weight of selfsupcon is 0.0, not a positive"),
        ("inf*ce", "The weight of ce is inf, not"),
        ("nan*ce", "The weight of ce is nan, not"),
        ("1e999*ce", "The weight of ce is inf, not"),
        ("", "needs at least one term"),
        ("  ", "needs at least one term"),
        ("ce + 0.5*ce", "ce occurs in the loss 2 times: add up its weights"),
        ("half*ce", "'half\\*ce' has 'half' in place of a number"),
        ("ce +", "'ce \\+' cannot be read at ''"),
        ("+ce", "cannot be read at ''"),
        ("ce - selfsupcon", "cannot be read at 'ce - selfsupcon'"),
        ("0.5 selfsupcon", "cannot be read at '0.5 selfsupcon'"),
        ("2*2*ce", "cannot be read at '2\\*2\\*ce'"),
        ("*ce", "cannot be read at '\\*ce'"),
        ("ce*2*", "cannot be read"),
        ("ce, selfsupcon", "cannot be read at 'ce, selfsupcon'"),
    ],
)
def test_invalid_notations_are_refused_with_an_example(spec, complaint):
    with pytest.raises(UsageError, match=f"{complaint}.*{FORM}"):
        parse_loss(spec)


def test_an_empty_objective_is_refused():
    with pytest.raises(UsageError, match="needs at least one term"):
        Objective(())


def test_an_alias_inside_a_sum_is_refused():
    with pytest.raises(UsageError, match=r"joint is the name of a sum.*write it out: ce \+ 0\.5\*selfsupcon"):
        parse_loss("2*joint + supcon")
