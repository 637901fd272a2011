import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transferkit.core.errors import ModelError, UnknownNameError
from transferkit.core.preprocessing import Preprocessing
from transferkit.models.capture_outputs import captured_outputs
from transferkit.models.encoder import encoder_of


class Small(nn.Module):
    """A convolution, ReLU in place, a branch that is left out, and a pair of outputs."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Conv2d(4, 4, 1)
        self.second = nn.LSTM(4, 5, batch_first=True)
        self.ran = []

    def forward(self, x):
        tokens = self.relu(self.first(x)).flatten(2).mT
        self.ran.append("before second")
        out, _ = self.second(tokens)
        self.ran.append("after second")
        return out.mean(1)


def noise():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def encoder():
    torch.manual_seed(0)
    return encoder_of(Small(), name="small", view=Preprocessing(resize=8, crop=8))


def test_outputs_are_those_of_the_modules_before_anything_works_in_place():
    one, x = encoder(), noise()
    with captured_outputs(one, ["first", "relu", "second", "output", "first"]) as outputs:
        found = outputs(x)
    before = one.module.first(x)
    assert list(found) == ["first", "relu", "second", "output"]
    assert_close(found["first"], before)
    assert before.min() < 0
    assert_close(found["relu"], before.clamp(min=0))
    tokens = one.module.second(before.clamp(min=0).flatten(2).mT)[0]
    assert_close(found["second"], tokens)
    assert_close(found["output"], tokens.mean(1))


def test_gradients_reach_the_images_as_in_the_plain_pass():
    one, x = encoder(), noise().requires_grad_()
    with captured_outputs(one, ["relu"]) as outputs:
        found = outputs(x)["relu"]
    expected = torch.autograd.grad(one.module.first(x).clamp(min=0).square().sum(), x)
    assert_close(torch.autograd.grad(found.square().sum(), x), expected)


def test_the_pass_stops_at_the_last_of_them_and_hooks_go():
    one = encoder()
    with captured_outputs(one, ["second", "first"]) as outputs:
        outputs(noise())
        assert one.module.ran == ["before second"]
    one.module(noise())
    assert one.module.ran[-1] == "after second"
    assert not one.module.first._forward_hooks


def test_layers_that_are_not_there_or_do_not_run_are_refused():
    one = encoder()
    wrong = captured_outputs(one, ["second", "frist"])
    with pytest.raises(UnknownNameError, match=r"No layer named 'frist'. Did you mean 'first'"), wrong:
        pass
    assert not one.module.second._forward_hooks
    with captured_outputs(one, ["first", "unused"]) as outputs:
        refused = pytest.raises(ModelError, match="Layer 'unused' returned no tensor")
        with refused:
            outputs(noise())
