import pytest

from transferkit.core.errors import UnknownNameError, UsageError
from transferkit.protocols.detecting.presets import PRESETS, default_preset, preset_settings
from transferkit.protocols.detecting.settings import DetectSettings


def test_presets_have_the_numbers_of_their_sources():
    voc, coco = PRESETS["voc0712"].settings, PRESETS["coco"].settings
    assert (voc.iterations, voc.batch, voc.lr, voc.milestones) == (24_000, 16, 0.02, (18_000, 22_000))
    assert (min(voc.min_size), max(voc.min_size), voc.test_min_size, voc.max_size) == (480, 800, 800, 1333)
    assert (coco.iterations, coco.batch, coco.lr, coco.milestones) == (90_000, 16, 0.02, (60_000, 80_000))
    assert (coco.min_size[0], coco.min_size[-1], coco.detector, coco.trained_stages) == (640, 800, "fpn", 3)
    for settings in (voc, coco):
        assert (settings.anchor_size, settings.fpn_channels, settings.head_width) == (32, 256, 1024)
        assert (settings.rpn_proposals, settings.roi_samples, settings.clip) == (2000, 512, 0.0)
    assert preset_settings("quick", {"lr": 0.01}) == DetectSettings(lr=0.01)
    assert all(preset.to_json()["source"] for preset in PRESETS.values())
    with pytest.raises(UnknownNameError, match="Did you mean 'voc0712'"):
        preset_settings("voc07", {})


def test_a_data_set_has_its_own_preset():
    specs = ("voc0712", "coco:some/folder", "mini/scenes")
    assert [default_preset(spec) for spec in specs] == ["voc0712", "coco", "quick"]


def test_the_rate_rises_and_falls():
    settings = DetectSettings(iterations=100, lr=0.2, warmup_iterations=10, milestones=(50, 80))
    assert settings.rate(0) == pytest.approx(0.0002)
    assert settings.rate(5) == pytest.approx(0.2 * (0.001 + 0.999 / 2))
    assert [settings.rate(step) for step in (10, 49, 50, 79, 80, 99)] == pytest.approx(
        [0.2, 0.2, 0.02, 0.02, 0.002, 0.002]
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"min_size": (800,), "max_size": 700}, "--max-size 700 is less than .* 800"),
    ],
)
def test_invalid_values_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        DetectSettings(**changes)
