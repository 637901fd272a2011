"""From an encoder to the ground of a detector: where its four maps are, and what lies behind the last."""

from ...core.errors import ModelError, TransferkitError
from ...detection.assembly import Detector, DetectorBackbone, DetectorConfig, seeded_detector
from ...detection.backbone import is_residual, require_residual
from ...models.encoder import Encoder
from ...models.layers import resolve_layers
from ...models.parameter_groups import parameters_below
from .settings import DetectSettings

_SIDE = 256  # of which each of the four maps is a whole part
_STRIDES = (4, 8, 16, 32)


def ground_of(encoder: Encoder, settings: DetectSettings) -> DetectorBackbone:
    """The network of ``encoder`` as a detector stands on it.

    Raises: ModelError: if it has no map at one of the four resolutions, or is no ResNet for C4.
    """
    network = encoder.module
    if settings.detector == "c4":
        require_residual(network, encoder.spec)
    encoder = encoder.at(_SIDE)
    try:
        stages = resolve_layers(encoder, ["stages"], None)
    except TransferkitError:  # a network of patches may take one size alone
        stages = ()
    by_stride = {_SIDE // one.shape[1]: one for one in stages if one.kind == "map"}
    if any(stride not in by_stride for stride in _STRIDES):
        seen = ", ".join(f"1/{stride}" for stride in by_stride) or "none"
        raise ModelError(
            f"{encoder.spec} has no maps of 1/4, 1/8, 1/16 and 1/32 of the image (it has {seen}), and no "
            "detector stands on it: use a ResNet, such as random:resnet18, or imagenet-lite0."
        )
    maps = [by_stride[stride] for stride in _STRIDES]
    taps = ("layer1", "layer2", "layer3", "layer4") if is_residual(network) else tuple(m.name for m in maps)
    trained = settings.trained_stages
    frozen = parameters_below(encoder, taps[3 - trained]) if trained < 4 else frozenset()
    return DetectorBackbone(
        network=network,
        taps=taps,
        channels=tuple(one.shape[0] for one in maps),
        beyond=_beyond(encoder, taps[3]),
        frozen=frozen,
        spec=encoder.spec,
        mean=encoder.view.mean,
        std=encoder.view.std,
    )


def _beyond(encoder: Encoder, last: str) -> frozenset[str]:
    """Names of the weights of those modules that have not finished when ``last`` has."""
    below = parameters_below(encoder, last)
    above = (name for name, _ in encoder.module.named_parameters() if name not in below)
    owners = {name.rpartition(".")[0] for name in above}
    return frozenset(name for name in encoder.module.state_dict() if name.rpartition(".")[0] in owners)


def plan_of(settings: DetectSettings, classes: int) -> DetectorConfig:
    """What the settings say of the detector itself."""
    return DetectorConfig(
        kind=settings.detector,
        classes=classes,
        norm=settings.bn_stats,
        anchor_size=settings.anchor_size,
        fpn_channels=settings.fpn_channels,
        head_width=settings.head_width,
        rpn_proposals=settings.rpn_proposals,
        roi_samples=settings.roi_samples,
        score_threshold=settings.score_threshold,
        sampling_ratio=settings.sampling_ratio,
    )


def detector_of(encoder: Encoder, settings: DetectSettings, classes: int) -> Detector:
    """A detector around ``encoder``, whose network is changed.

    Args:
        encoder: loaded afresh.
        settings: say which.
        classes: how many, without the background.

    Raises:
        ModelError: if none can stand on it.
        CheckpointError: if a weight of the network would be lost.
    """
    return seeded_detector(ground_of(encoder, settings), plan_of(settings, classes), seed=settings.seed)
