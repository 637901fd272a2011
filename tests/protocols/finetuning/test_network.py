from transferkit.models.catalog import load_encoder
from transferkit.protocols.finetuning.head_init import HeadInit
from transferkit.protocols.finetuning.network import FinetuneNetwork
from transferkit.protocols.finetuning.settings import FinetuneSettings


def test_the_last_stage_is_one_step_before_the_classifier():
    encoder = load_encoder("random:test_resnet").at(32)
    settings = FinetuneSettings(layer_decay=0.5)
    network = FinetuneNetwork(encoder, settings, HeadInit.zero(encoder, 3))
    names = {parameter: name for name, parameter in network.named_parameters()}
    scale = {names[parameter]: group["lr"] for group in network.groups(lr=8.0) for parameter in group["params"]}
    assert set(scale) == set(names.values())
    assert scale["head.weight"] == 8
    for layer, expected in (("layer4", 4), ("layer3", 2), ("layer2", 1), ("layer1", 0.5), ("conv1", 0.5)):
        own = {rate for name, rate in scale.items() if name.startswith(f"body.{layer}.")}
        assert own == {expected}, layer
