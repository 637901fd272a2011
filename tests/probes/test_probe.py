"""Rules that every probe obeys."""

import re
from dataclasses import FrozenInstanceError, fields, replace
from inspect import getdoc

import pytest

from tests.probes.features import features
from transferkit.core.files import sorted_json
from transferkit.probes import PROBES
from transferkit.probes.probe import ProbeContext

PLAIN = {name: features(n, name, classes=5) for name, n in (("train", 100), ("val", 50), ("test", 100))}
SPLITS = {name: replace(part, targets={"class": part.labels}) for name, part in PLAIN.items()}


@pytest.fixture(params=PROBES)
def probe(request):
    return PROBES[request.param]


def test_settings_are_a_value(probe):
    settings = probe.settings_type()
    assert settings == probe.settings_type()
    sorted_json(settings.to_json())
    assert set(settings.to_json()) == {field.name for field in fields(settings)}
    with pytest.raises(FrozenInstanceError):
        setattr(settings, fields(settings)[0].name, None)


def test_every_setting_is_described(probe):
    attributes = getdoc(probe.settings_type).partition("Attributes:\n")[2]
    assert re.findall(r"^ {4}(\w+): \S", attributes, flags=re.MULTILINE) == [
        field.name for field in fields(probe.settings_type)
    ]


def test_scores_repeat_and_leave_features_alone(probe):
    before = {name: part.x.copy() for name, part in SPLITS.items()}
    a, b = (probe.score(ProbeContext(SPLITS, 1), probe.settings_type()) for _ in range(2))
    assert (a.value, a.chosen, a.extra_metrics) == (b.value, b.chosen, b.extra_metrics)
    assert all((SPLITS[name].x == x).all() for name, x in before.items())


def test_what_selects_never_scores(probe):
    score = probe.score(ProbeContext(SPLITS), probe.settings_type())
    assert score.selected_on != score.evaluated_on
    assert score.value > 0.7  # the classes lie apart
    assert set(score.seconds) == {"fit", "score"}
