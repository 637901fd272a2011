import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transferkit.core.errors import ModelError, UnknownNameError
from transferkit.core.preprocessing import Preprocessing
from transferkit.models.encoder import encoder_of
from transferkit.models.hooks import captured_outputs, named_modules, observed, observed_input, replaced_method


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
    return encoder_of(Small(), name="small", preprocessing=Preprocessing(resize=8, crop=8))


def hooks_of(module):
    return [hook for part in module.modules() for hook in (*part._forward_hooks, *part._forward_pre_hooks)]


def test_outputs_are_those_of_the_modules_before_anything_works_in_place():
    one, x = encoder(), noise()
    with captured_outputs(one.module, ["first", "relu", "second", "output", "first"]) as outputs:
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
    with captured_outputs(one.module, ["relu"]) as outputs:
        found = outputs(x)["relu"]
    expected = torch.autograd.grad(one.module.first(x).clamp(min=0).square().sum(), x)
    assert_close(torch.autograd.grad(found.square().sum(), x), expected)


def test_the_pass_stops_at_the_last_of_them_and_hooks_go():
    one = encoder()
    with captured_outputs(one.module, ["second", "first"]) as outputs:
        outputs(noise())
        assert one.module.ran == ["before second"]
    one.module(noise())
    assert one.module.ran[-1] == "after second"
    assert not hooks_of(one.module)


def test_an_unknown_layer_is_refused_and_leaves_no_hooks():
    one = encoder()
    unknown = captured_outputs(one.module, ["second", "frist"])
    with pytest.raises(UnknownNameError, match=r"No layer named 'frist'. Did you mean 'first'"), unknown:
        pass
    assert not hooks_of(one.module)


def test_a_layer_that_does_not_run_is_refused():
    with captured_outputs(encoder().module, ["first", "unused"]) as outputs:
        refused = pytest.raises(ModelError, match="Layer 'unused' did not run")
        with refused:
            outputs(noise())


def test_a_layer_without_a_tensor_is_refused():
    class Words(nn.Module):
        def forward(self, x):
            return "words"

    refused = pytest.raises(ModelError, match="Layer 'output' returns no tensor")
    with captured_outputs(Words(), ["output"]) as outputs, refused:
        outputs(noise())


def test_a_layer_that_runs_twice_is_refused_if_outputs_must_be_unique():
    relu = nn.ReLU()
    network = nn.Sequential(nn.Conv2d(3, 4, 1), relu, nn.Conv2d(4, 4, 1), relu)
    refused = pytest.raises(ModelError, match="Layer '1' runs more than once")
    with captured_outputs(network, ["1"], once=True) as outputs, refused:
        outputs(noise())


def test_a_network_without_layers_has_an_output():
    with captured_outputs(nn.Identity(), ["output"], once=True) as outputs:
        for _ in range(2):
            assert torch.equal(outputs(noise())["output"], noise())


def test_captures_of_one_network_do_not_disturb_each_other_or_other_forward_passes():
    network, x = encoder().module, noise()
    expected = network(x)
    with captured_outputs(network, ["first"]) as outer, captured_outputs(network, ["second"]) as inner:
        assert_close(network(x), expected)
        second, first = inner(x)["second"], outer(x)["first"]
    assert second.shape == (2, 36, 5)
    assert first.shape == (2, 4, 6, 6)


def test_hooks_are_removed_and_the_next_pass_works_after_an_error():
    network = encoder().module
    with captured_outputs(network, ["first", "relu"]) as outputs:
        with pytest.raises(RuntimeError):
            outputs(torch.zeros(2, 5, 8, 8))
        assert list(outputs(noise())) == ["first", "relu"]
    assert not hooks_of(network)
    with pytest.raises(ZeroDivisionError), captured_outputs(network, ["first"]):
        _ = 1 / 0
    assert not hooks_of(network)


def test_each_call_of_a_module_is_observed_until_the_context_ends():
    relu, seen = nn.ReLU(), []
    network = nn.Sequential(relu, nn.Flatten(), relu)
    with observed({"a": relu, "b": relu}, lambda name, inputs, output: seen.append((name, len(inputs), output.ndim))):
        network(noise())
    network(noise())
    assert seen == [("a", 1, 4), ("b", 1, 4), ("a", 1, 2), ("b", 1, 2)]


def test_the_input_is_observed_before_the_module_runs():
    linear, seen = nn.Linear(2, 2), []
    with pytest.raises(RuntimeError), observed_input(linear, seen.append):
        linear(torch.ones(1, 3))
    assert torch.equal(seen[0], torch.ones(1, 3))
    assert not hooks_of(linear)


@pytest.mark.parametrize("own", [True, False])
def test_a_replaced_method_is_restored_even_after_an_error(own):
    module = nn.Identity()
    if own:
        module.forward = lambda _: "own"
    with replaced_method(module, "forward", lambda _: "replaced"):
        assert module(1) == "replaced"
    with pytest.raises(ZeroDivisionError), replaced_method(module, "forward", lambda _: 1 / 0):
        module(1)
    assert module(1) == ("own" if own else 1)
    assert ("forward" in vars(module)) == own


def test_output_is_the_network_even_if_a_child_has_that_name():
    network = nn.Sequential()
    network.body = nn.Linear(3, 3)
    network.output = nn.Linear(3, 2)
    assert named_modules(network)["output"] is network
    assert list(named_modules(network)) == ["output", "body"]
