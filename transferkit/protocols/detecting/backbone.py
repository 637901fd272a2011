"""Build a detector's backbone from an encoder: its four feature maps, and the modules after the last one."""

from ...core.errors import ModelError, TransferkitError
from ...detection.assembly import Detector, DetectorBackbone, DetectorConfig, seeded_detector
from ...detection.backbone import is_residual, require_residual
from ...models.encoder import Encoder
from ...models.layers import resolve_layers
from ...models.parameter_groups import parameters_below
from .settings import DetectSettings

_SIDE = 256  # input size in pixels that each of the four strides divides
_STRIDES = (4, 8, 16, 32)


def ground_of(encoder: Encoder, settings: DetectSettings) -> DetectorBackbone:
    """Return the network of ``encoder`` as the backbone of a detector.

    Raises: ModelError: if it lacks a map at one of the four resolutions, or is not a ResNet for C4.
    """
    network = encoder.module
    if settings.detector == "c4":
        require_residual(network, encoder.spec)
    encoder = encoder.at(_SIDE)
    try:
        stages = resolve_layers(encoder, ["stages"], None)
    except TransferkitError:  # a network with patch embedding may accept a single input size
        stages = ()
    by_stride = {_SIDE // one.shape[1]: one for one in stages if one.kind == "map"}
    if any(stride not in by_stride for stride in _STRIDES):
        available = ", ".join(f"1/{stride}" for stride in by_stride) or "none"
        raise ModelError(
            f"{encoder.spec} cannot be the backbone of a detector: it has no maps of 1/4, 1/8, 1/16 and 1/32 of "
            f"the image (it has {available}). Use a ResNet, such as random:resnet18, or imagenet-lite0."
        )
    maps = [by_stride[stride] for stride in _STRIDES]
    layers = ("layer1", "layer2", "layer3", "layer4") if is_residual(network) else tuple(m.name for m in maps)
    trained = settings.trained_stages
    frozen = parameters_below(encoder, layers[3 - trained]) if trained < 4 else frozenset()
    return DetectorBackbone(
        network=network,
        layers=layers,
        channels=tuple(one.shape[0] for one in maps),
        beyond=_beyond(encoder, layers[3]),
        frozen=frozen,
        spec=encoder.spec,
        mean=encoder.preprocessing.mean,
        std=encoder.preprocessing.std,
    )


def _beyond(encoder: Encoder, last: str) -> frozenset[str]:
    """Return the names of the weights of modules that run after ``last``."""
    below = parameters_below(encoder, last)
    above = (name for name, _ in encoder.module.named_parameters() if name not in below)
    owners = {name.rpartition(".")[0] for name in above}
    return frozenset(name for name in encoder.module.state_dict() if name.rpartition(".")[0] in owners)


def plan_of(settings: DetectSettings, classes: int) -> DetectorConfig:
    """Return the configuration of the detector that the settings describe."""
    return DetectorConfig(
        kind=settings.detector,
        classes=classes,
        norm=settings.norm,
        anchor_size=settings.anchor_size,
        fpn_channels=settings.fpn_channels,
        head_width=settings.head_width,
        rpn_proposals=settings.rpn_proposals,
        roi_samples=settings.roi_samples,
        score_threshold=settings.score_threshold,
        sampling_ratio=settings.sampling_ratio,
    )


def detector_of(encoder: Encoder, settings: DetectSettings, classes: int) -> Detector:
    """Return a detector with ``encoder`` as its backbone; the encoder's network is changed.

    Args:
        encoder: newly loaded encoder.
        settings: settings of the detector.
        classes: number of classes, without the background.

    Raises:
        ModelError: if the network cannot be the backbone of a detector.
        CheckpointError: if a weight of the network would be lost.
    """
    return seeded_detector(ground_of(encoder, settings), plan_of(settings, classes), seed=settings.seed)
