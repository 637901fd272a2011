"""Presets of detector settings, each with its source, hardware and expected outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...core.json_dataclass import JsonDataclass
from ...core.registry import Registry
from .settings import DetectSettings


@dataclass(frozen=True)
class DetectPreset(JsonDataclass):
    """Settings with their source, hardware and expected outcome.

    Attributes:
        settings: the settings.
        source: publication or reason of the settings.
        hardware: suitable hardware, and the duration on it.
        outcome: expected outcome.
    """

    settings: DetectSettings
    source: str
    hardware: str
    outcome: str


PRESETS: Registry[DetectPreset] = Registry("preset")

PRESETS.register("quick")(
    DetectPreset(
        DetectSettings(),
        source="transferkit's own, for mini/scenes: a small pyramid, small anchors, 300 steps of 8 images",
        hardware="two CPU cores, two to five minutes",
        outcome="AP50 0.76 on mini/scenes with imagenet-lite0",
    )
)

_VOC = DetectSettings(
    detector="c4",
    iterations=24_000,
    batch=16,
    lr=0.02,
    milestones=(18_000, 22_000),
    warmup_iterations=100,
    clip=0.0,
    min_size=tuple(range(480, 801, 32)),
    test_min_size=800,
    norm="sync",
    precise_bn=200,
    trained_stages=4,
    anchor_size=32,
    fpn_channels=256,
    head_width=1024,
    rpn_proposals=2000,
    roi_samples=512,
    sampling_ratio=0,
)

PRESETS.register("voc0712")(
    DetectPreset(
        _VOC,
        source="He et al., Momentum contrast, CVPR 2020, and its public configuration: VOC 2007 and 2012 "
        "trainval, 24 000 steps, all layers trained, batch statistics synchronised over all processes",
        hardware="eight GPUs, 9 hours on V100s; --batch counts the images of all processes together",
        outcome="AP50 / AP / AP75 of ResNet-50 C4: MoCo v2 82.4 / 57.0 / 63.6, supervised 81.3 / 53.5 / 58.8",
    )
)

PRESETS.register("coco")(
    DetectPreset(
        replace(
            _VOC,
            detector="fpn",
            iterations=90_000,
            milestones=(60_000, 80_000),
            warmup_iterations=1000,
            min_size=(640, 672, 704, 736, 768, 800),
            norm="frozen",
            precise_bn=0,
            trained_stages=3,
        ),
        source="the 1x schedule of Detectron: Girshick et al. 2018; image sizes of Detectron2's model zoo",
        hardware="eight GPUs, 10 hours on V100s; --batch counts the images of all processes together",
        outcome="AP near 38 for a supervised ResNet-50 with FPN, as in Detectron2's model zoo",
    )
)


def default_preset(data: str) -> str:
    """Return the default preset of a data set: the one with its name, else ``quick``.

    >>> default_preset("voc0712:some/folder"), default_preset("mini/scenes")
    ('voc0712', 'quick')
    """
    name = data.partition(":")[0]
    return name if name in PRESETS else "quick"


def preset_settings(name: str, changes: Mapping[str, Any]) -> DetectSettings:
    """Return the settings of the preset ``name`` with some fields changed.

    Raises: UnknownNameError: for an unknown preset.
    """
    return replace(PRESETS[name].settings, **changes)
