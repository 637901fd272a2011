import torch
from torch import nn

from transferkit.core.views import View
from transferkit.models.encoder import encoder_of
from transferkit.models.fingerprint import weights_digest


def test_a_module_of_one_s_own():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    module.train()
    encoder = encoder_of(module, name="mine")
    assert encoder.module is module
    assert not module.training
    assert (encoder.spec, encoder.architecture, encoder.pooling) == ("mine", "mine", "avg")
    assert encoder.weights == weights_digest(module)
    assert encoder.view == View()


def test_what_is_said_is_kept():
    view = View(resize=32, crop=32)
    encoder = encoder_of(nn.Flatten(), name="mine", view=view, architecture="none", source="here")
    assert (encoder.view, encoder.architecture, encoder.source) == (view, "none", "here")


def test_a_transformer_s_own_pooling():
    module = nn.Linear(1, 1)
    module.class_token = nn.Parameter(torch.zeros(1))
    assert encoder_of(module, name="mine").pooling == "cls"


def test_another_size_is_another_view():
    encoder = encoder_of(nn.Flatten(), name="mine")
    assert encoder.at(112).view.crop == 112
    assert encoder.at(None) is encoder
