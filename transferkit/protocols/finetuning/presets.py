"""Presets of fine-tuning settings, each with its source, hardware and expected outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.json_dataclass import JsonDataclass
from ...core.registry import Registry
from .settings import FinetuneSettings


@dataclass(frozen=True)
class FinetunePreset(JsonDataclass):
    """Settings with their source, hardware and expected outcome.

    Attributes:
        settings: the settings.
        source: publication or reason of the settings.
        hardware: suitable hardware, and the duration on it.
        outcome: expected outcome.
    """

    settings: FinetuneSettings
    source: str
    hardware: str
    outcome: str


PRESETS: Registry[FinetunePreset] = Registry("preset")

PRESETS.register("quick")(
    FinetunePreset(
        FinetuneSettings(),
        source="linear probing, then fine-tuning: Kumar et al., ICLR 2022; one setting, no grid",
        hardware="two CPU cores, minutes for a thousand images of 128 pixels",
        outcome="above the linear probe that it starts from with imagenet-lite0 (mini/digits: 0.753 compared with "
        "0.584); it can end below it with small encoders, see docs/finetuning.md",
    )
)

PRESETS.register("islam")(
    FinetunePreset(
        FinetuneSettings(
            lr=(0.01, 0.001),
            batch=(128, 32),
            weight_decay=(0.0, 1e-4, 1e-5),
            epochs=50,
            search_epochs=20,
            schedule="step",
            warmup_fraction=0.0,
            head="zero",
            batch_norm=True,
            bn_stats="update",
            clip=0.0,
            crop_min_area=0.2,
            val_fraction=0.3,
            max_pixels=0,
        ),
        source="Islam et al., A Broad Study on the Transferability of Visual Representations, ICCV 2021",
        hardware="one GPU, hours per data set: twelve settings of 20 epochs, then 50 epochs",
        outcome="full-network transfer of Islam et al.; see their tables for the accuracy of their encoders",
    )
)

_KORNBLITH = FinetuneSettings(
    lr=tuple(np.logspace(-4, -1, 4).round(8).tolist()),
    batch=(64,),
    weight_decay=(0.0, *np.logspace(-6, -3, 4).round(12).tolist()),
    decay_over_lr=True,
    steps=5000,
    nesterov=True,
    warmup_fraction=0.0,
    head="zero",
    bn_stats="update",
    clip=0.0,
    crop_min_area=0.08,
    max_pixels=0,
)

PRESETS.register("kornblith")(
    FinetunePreset(
        _KORNBLITH,
        source="Ericsson, Gouk, Hospedales, How well do self-supervised models transfer?, CVPR 2021: the "
        "protocol of Kornblith et al., CVPR 2019, with fewer and smaller steps and a coarser grid",
        hardware="one GPU, about four hours per model and data set at 490 images per second: twenty settings of "
        "5 000 steps at batch 64, then 5 000 more",
        outcome="comparable with the fine-tuning tables of Ericsson et al., not with Kornblith et al.'s",
    )
)

PRESETS.register("vtab1k")(
    FinetunePreset(
        FinetuneSettings(
            lr=(0.1, 0.01),
            batch=(64,),
            weight_decay=(0.0,),
            steps=2500,
            head="zero",
            bn_stats="update",
            clip=0.0,
            crop_min_area=0.08,
            val_fraction=0.2,
            max_pixels=0,
        ),
        source="after Zhai et al., A large-scale study of representation learning with VTAB, arXiv "
        "1910.04867: two learning rates, 2 500 steps; schedule, augmentation and images differ from theirs",
        hardware="one GPU, less than an hour per data set; for 800 training and 200 validation images",
        outcome="compares models with each other on 1 000 images per data set; not comparable with VTAB-1k "
        "tables, see docs/published.md",
    )
)


def preset_settings(name: str, changes: Mapping[str, Any]) -> FinetuneSettings:
    """Return the settings of the preset ``name`` with some fields changed.

    Raises: UnknownNameError: for an unknown preset.
    """
    return replace(PRESETS[name].settings, **changes)
