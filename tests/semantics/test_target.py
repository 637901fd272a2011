"""Properties of targets, and the digest of their definitions."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.semantics.pictures import discs, noise
from transferkit.core.errors import ShapeError, UnknownNameError
from transferkit.semantics import target as contract
from transferkit.semantics.measure import measure
from transferkit.semantics.scene import Scene
from transferkit.semantics.target import TARGETS, Target, chosen_targets, semantics_digest

PLAIN = Target("plain", lambda scene: 0.5, "low", "linear", 1, "a half", "none")


def picture():
    """Return an image of 100 × 100 pixels with two discs and two blocks in noise, which affects all targets."""
    square, _ = discs(100, (0.3, 0.4, 0.2), (0.7, 0.65, 0.15))
    square[:, 72:84, 5:45] = 220
    square[:, 84:98, 5:25] = 120
    return np.clip(square.astype(int) + noise(100, 5) // 8, 0, 255).astype(np.uint8)


KNOWN = {
    ("luminance", 1): 0.410329,
    ("rms_contrast", 1): 0.229836,
    ("colourfulness", 1): 62.0418,
    ("hue", 1): -1.29613,
    ("saturation", 1): 0.441491,
    ("colour_histogram", 1): 19.9662,
    ("lbp", 1): 6.98495,
    ("cooccurrence", 1): 8.77124,
    ("hog_summary", 1): 161.989,
    ("symmetry", 1): -0.00825614,
    ("edge_density", 1): 0.0411241,
    ("orientation", 1): 1.0654,
    ("orientation_histogram", 1): 3.86987,
    ("curvature", 1): 6.66737,
    ("corner_density", 1): 0.759549,
    ("junction_density", 1): 0.217014,
    ("salient_position", 1): 1.5048,
    ("salient_size", 1): 0.247396,
    ("salient_count", 1): 1.38629,
    ("salient_hue", 1): 1.77175,
    ("frequency_slope", 1): -2.6502,
    ("band_energies", 1): -36.1765,
    ("sharpness", 1): -1.33014,
}
"""Sum of the numbers of ``picture()``, the k-th of them times k, by name and version of the target."""


def test_a_change_of_any_number_needs_a_new_version():
    """Increase the target's ``version`` or the scene's ``DEFINITION`` if the change is intended."""
    measured = measure(picture())
    found = {(t.name, t.version): float(measured[t.name] @ np.arange(1, t.dimension + 1)) for t in TARGETS.values()}
    assert found.keys() == KNOWN.keys()
    assert_allclose([found[key] for key in KNOWN], list(KNOWN.values()), rtol=1e-2, err_msg=f"{found}")


def test_every_target_says_what_it_is():
    for name, one in TARGETS.items():
        assert one.name == name
        assert one.meaning
        assert one.source
        assert one.compute.__doc__


def test_the_circular_ones_say_their_period():
    periods = {name: one.period for name, one in TARGETS.items() if one.kind == "circular"}
    assert periods == {"hue": 1.0, "orientation": 0.5, "salient_hue": 1.0}


def test_the_digest_is_of_the_chosen_targets_in_any_order():
    assert semantics_digest(["hue", "lbp"]) == semantics_digest(["lbp", "hue"])
    assert semantics_digest(["hue", "lbp"]) != semantics_digest(["hue"])
    assert semantics_digest() == semantics_digest(list(TARGETS))
    assert len(semantics_digest()) == 64


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"level": "mid"}, {"dimension": 2}, {"dimension": 2, "kind": "circular", "period": 1.0}],
)
def test_every_change_of_a_definition_changes_the_digest(monkeypatch, change):
    monkeypatch.setattr(contract, "TARGETS", {"plain": PLAIN})
    before = semantics_digest()
    monkeypatch.setattr(contract, "TARGETS", {"plain": dataclasses.replace(PLAIN, **change)})
    assert semantics_digest() != before


def test_a_change_of_the_scene_changes_every_digest(monkeypatch):
    before = semantics_digest(["luminance"])
    monkeypatch.setattr(contract, "DEFINITION", 99)
    assert semantics_digest(["luminance"]) != before


def test_words_alone_change_no_digest(monkeypatch):
    monkeypatch.setattr(contract, "TARGETS", {"plain": PLAIN})
    before = semantics_digest()
    monkeypatch.setattr(contract, "TARGETS", {"plain": dataclasses.replace(PLAIN, meaning="one of two")})
    assert semantics_digest() == before


def test_an_unknown_target():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'sharpness'\?$"):
        chosen_targets(["sharpnes"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"level": "high"}, r"^plain cannot be high and linear\.$"),
        ({"kind": "round"}, r"^plain cannot be low and round\.$"),
        ({"kind": "circular", "dimension": 2}, r"^plain is circular: a circular target has a period"),
        ({"period": 1.0}, r"^plain is linear: a circular target has a period, no other has\.$"),
        ({"kind": "circular", "period": 1.0}, r"^plain is circular and cannot have 1 numbers\.$"),
        ({"dimension": 0}, r"^plain is linear and cannot have 0 numbers\.$"),
    ],
)
def test_what_is_no_target(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(PLAIN, **change)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1.0, 2.0], r"^plain must give 1 finite numbers, not \[1\.0, 2\.0\] of shape \[2\]: correct"),
        (float("nan"), r"not \[nan\] of shape \[1\]"),
        (float("inf"), r"not \[inf\]"),
        ([[1.0]], r"of shape \[1, 1\]"),
    ],
)
def test_numbers_that_are_not_as_promised(value, words):
    with pytest.raises(ShapeError, match=words):
        dataclasses.replace(PLAIN, compute=lambda scene: value).of(Scene(noise(8)))


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match=r"^There is already a semantic target named 'lbp': choose another name\.$"):
        contract.target("mid", meaning="another", source="none")(TARGETS["lbp"].compute)
