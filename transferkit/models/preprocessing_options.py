"""Options of a spec that change the encoder's preprocessing: ``timm:resnet18?interpolation=bilinear``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..core.errors import UsageError
from ..core.preprocessing import Preprocessing
from .options import join_options, split_options

KEYS = ("resize", "fit", "interpolation", "mean", "std")


def split_preprocessing(spec: str) -> tuple[str, dict[str, Any]]:
    """Return the spec without preprocessing options, and these options.

    >>> split_preprocessing("file:x.pt#vit_tiny_patch16_224?num_heads=3&mean=0.5")
    ('file:x.pt#vit_tiny_patch16_224?num_heads=3', {'mean': 0.5})

    Raises: UsageError: for options that are not ``key=value``.
    """
    path, mark, name = spec.rpartition("#") if spec.startswith("file:") else ("", "", spec)
    if "?" not in name:
        return spec, {}
    name, options = split_options(name)
    changes = {key: options.pop(key) for key in KEYS if key in options}
    return path + mark + join_options(name, options), changes


def changed_view(view: Preprocessing, changes: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing with some fields changed; a single mean or std applies to all three channels.

    Raises: UsageError: if a value is invalid.
    """
    return replace(view, **{key: _checked(key, value) for key, value in changes.items()})


def _checked(key: str, value: Any) -> Any:
    if key == "resize" and type(value) is not int:
        raise UsageError(f"resize={value} is not a number of pixels. Write a whole number: resize=256.")
    if key not in ("mean", "std"):
        return value
    values = value if isinstance(value, tuple) else (value,)
    least = 0.0 if key == "mean" else 1e-6
    if len(values) not in (1, 3) or not all(type(v) in (int, float) and least <= v <= 1 for v in values):
        raise UsageError(
            f"{key}={value} is not one number or three, from {least:g} to 1: images have values from 0 to 1. "
            f"Write {key}=0.5 or {key}=(0.485,0.456,0.406)."
        )
    return tuple(float(v) for v in (values if len(values) == 3 else values * 3))
