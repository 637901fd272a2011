"""Presets of pretraining settings, each with its source, hardware and expected outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...core.errors import UsageError
from ...core.json_dataclass import JsonDataclass
from ...core.registry import Registry
from .settings import PretrainSettings


@dataclass(frozen=True)
class Preset(JsonDataclass):
    """Settings with their source, hardware and expected outcome.

    Attributes:
        settings: the settings.
        source: publication or reason of the settings.
        hardware: suitable hardware, and the duration on it.
        outcome: expected outcome.
        needs_data: True if the user has to provide the images.
    """

    settings: PretrainSettings
    source: str
    hardware: str
    outcome: str
    needs_data: bool = True


PRESETS: Registry[Preset] = Registry("preset")

PRESETS.register("mini")(
    Preset(
        PretrainSettings(),
        source="chosen on the validation split of mini/objects",
        hardware="two CPU cores, 5 minutes, less if the processor supports bf16",
        outcome="see docs/findings.md",
        needs_data=False,
    )
)

_STUDY = "Islam et al., A Broad Study on the Transferability of Visual Representations, ICCV 2021, public code"

_IMAGENET = PretrainSettings(
    data="",
    model="random:resnet50",
    epochs=400,
    batch=64,
    size=224,
    test_resize=257,
    test_crop=224,
    optimizer="sgd",
    lr=0.02,
    warmup_epochs=5,
    weight_decay=1e-4,
    temperature=0.07,
    queue_size=64_000,
    ema_momentum=0.999,
    bn_splits=24,
    crop_min_area=0.2,
    blur_prob=None,
    augment_on="cpu",
    eval_every=10,
)

PRESETS.register("imagenet")(
    Preset(
        _IMAGENET,
        source=_STUDY,
        hardware="24 GPUs of 64 images each (--devices 8 --nodes 3), days",
        outcome="the encoders of Islam et al.; see their tables for the transfer accuracy",
    )
)

PRESETS.register("miniimagenet")(
    Preset(
        replace(
            _IMAGENET,
            loss="ce + 2*selfsupcon",
            model="random:resnet18",
            epochs=300,
            batch=32,
            lr=0.01,
            queue_size=16_384,
            bn_splits=4,
        ),
        source=f"{_STUDY}, exp_fewshots_linear_mini.sh",
        hardware="four GPUs of 32 images each (--devices 4), a day; 84-pixel images are enlarged to 224",
        outcome="the few-shot encoders of Islam et al.: the losses ce, selfsupcon, supcon, ce + 2*selfsupcon "
        "and supcon + selfsupcon; see their tables for the accuracy",
    )
)


def preset_settings(name: str, changes: Mapping[str, Any]) -> PretrainSettings:
    """Return the settings of the preset ``name`` with some fields changed.

    Raises:
        UnknownNameError: for an unknown preset.
        UsageError: if the preset needs data and ``changes`` gives none.
    """
    preset = PRESETS[name]
    if preset.needs_data and "data" not in changes:
        raise UsageError(f"The preset {name} needs your images: add --data folder:PATH, with one folder per class.")
    return replace(preset.settings, **changes)
