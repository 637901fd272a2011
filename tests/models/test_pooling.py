import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.reference.pooling import pooled
from transferkit.core.errors import ModelError, UnknownNameError
from transferkit.models.pooling import (
    WIDTHS,
    Form,
    Tokens,
    fitting_pooling,
    form_of,
    own_pooling,
    pool,
    prefix_tokens,
    require_fit,
)

FORMS = {
    "bdhw": (Form("map", 1), (2, 5, 4, 4)),
    "bhwd": (Form("map", 3), (2, 4, 4, 5)),
    "btd": (Form("tokens", 2), (2, 9, 5)),
    "btd+2": (Form("tokens", 2, prefix=2), (2, 11, 5)),
    "bhwd, tokens in windows": (Form("tokens", 3), (2, 4, 9, 5)),
}
CASES = [(name, pooling) for name, (form, _) in FORMS.items() for pooling in form.poolings]


@pytest.mark.parametrize(("name", "pooling"), CASES)
def test_pooling_agrees_with_loops(name, pooling):
    form, shape = FORMS[name]
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = pooled(x.numpy(), name[:4].rstrip("+"), form.prefix, pooling)
    found = pool(x, form, pooling)
    assert_close(found, torch.from_numpy(expected))
    assert found.shape[1] == form.width(shape, pooling)


@pytest.mark.parametrize(("name", "pooling"), CASES)
def test_half_precision_is_pooled_in_single(name, pooling):
    form, shape = FORMS[name]
    x = (1000 + torch.randn(shape)).to(torch.bfloat16)
    found = pool(x, form, pooling)
    assert found.dtype == torch.float32
    assert_close(found, pool(x.double(), form, pooling).float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("pooling", WIDTHS)
def test_a_vector_stays_as_it_is_but_is_a_copy(pooling):
    x = torch.randn(2, 5, 1, 1)
    found = pool(x, Form("vector", 1), pooling)
    assert torch.equal(found, x.flatten(1))
    assert found.data_ptr() != x.data_ptr()
    assert Form("vector", 1).width(x.shape, pooling) == 5


def test_cls_is_a_copy():
    x = torch.randn(2, 5, 3)
    found = pool(x, Form("tokens", 2, 1), "cls")
    x.zero_()
    assert found.abs().min() > 0


@pytest.mark.parametrize("pooling", ["avg", "max", "avgmax", "mean-tokens"])
def test_the_order_of_patch_tokens_does_not_matter(pooling):
    x = torch.randn(2, 10, 3, dtype=torch.float64)
    order = torch.tensor([0, *(1 + torch.randperm(9)).tolist()])
    form = Form("tokens", 2, 1)
    assert_close(pool(x[:, order], form, pooling), pool(x, form, pooling))


def test_prefix_tokens_have_no_part_in_the_mean():
    x = torch.randn(2, 11, 3)
    changed = x.clone()
    changed[:, :2] = 100
    form = Form("tokens", 2, 2)
    assert torch.equal(pool(x, form, "mean-tokens"), pool(changed, form, "mean-tokens"))


def test_grid2_of_an_odd_map_and_of_a_constant():
    assert_close(pool(torch.full((1, 3, 7, 7), 2.0), Form("map", 1), "grid2"), torch.full((1, 12), 2.0))


@pytest.mark.parametrize(
    ("shape", "prefix", "form"),
    [
        ((2, 8), 0, Form("vector", 1)),
        ((2, 8, 1, 1), 0, Form("vector", 1)),
        ((2, 1, 1, 8), 0, Form("vector", 3)),
        ((2, 1, 8), 1, Form("vector", 2)),
        ((2, 8, 7, 7), 0, Form("map", 1)),
        ((2, 7, 7, 8), 0, Form("map", 3)),
        ((2, 7, 7, 7), 0, Form("map", 1)),
        ((2, 197, 8), 1, Form("tokens", 2, 1)),
        ((2, 198, 8), 2, Form("tokens", 2, 2)),
        ((2, 201, 8), 5, Form("tokens", 2, 5)),
        ((2, 196, 8), 1, Form("tokens", 2, 0)),  # before the class token is added
        ((2, 196, 8), 0, Form("tokens", 2, 0)),
        ((2, 2, 8), 2, Form("tokens", 2, 0)),
        ((197, 2, 8), 1, None),  # tokens first: no row an image
        ((128, 49, 8), 0, None),  # windows
        ((2, 3, 197, 64), 1, None),  # heads
        ((2,), 0, None),
        ((2, 3, 4, 5, 6), 0, None),
    ],
)
def test_axes_are_read_off_the_shape(shape, prefix, form):
    assert form_of(torch.Size(shape), batch=2, prefix=prefix) == form


def test_an_unknown_pooling_is_refused():
    with pytest.raises(UnknownNameError, match=r"No pooling named 'averag'\. Did you mean 'avg'\?"):
        require_fit("layer4", Form("map", 1), "averag")


def test_cls_without_a_class_token_is_refused():
    with pytest.raises(ModelError) as error:
        require_fit("layer4", Form("map", 1), "cls")
    assert str(error.value) == (
        "Pooling 'cls' does not fit layer 'layer4': it has no class token. "
        "Poolings that fit: avg, max, avgmax, grid2, mean-tokens, whole."
    )


def test_grid2_without_a_map_is_refused():
    with pytest.raises(ModelError, match=r"'grid2' does not fit layer 'norm': it has no rows and columns.* cls, avg"):
        require_fit("norm", Form("tokens", 2, 1), "grid2")


def transformer(**attributes: object) -> nn.Module:
    module = nn.Linear(1, 1)
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


@pytest.mark.parametrize(
    ("attributes", "prefix", "pooling"),
    [
        ({"num_prefix_tokens": 1, "global_pool": "token"}, 1, "cls"),
        ({"num_prefix_tokens": 5, "global_pool": "token"}, 5, "cls"),
        ({"num_prefix_tokens": 1, "global_pool": "avg"}, 1, "mean-tokens"),
        ({"num_prefix_tokens": 0, "global_pool": "avg"}, 0, "mean-tokens"),
        ({"class_token": nn.Parameter(torch.zeros(1))}, 1, "cls"),
        ({"cls_token": nn.Parameter(torch.zeros(1))}, 1, "avg"),
        ({"cls_token": None}, 0, "avg"),
        ({}, 0, "avg"),
    ],
)
def test_the_tokens_of_a_network_are_known(attributes, prefix, pooling):
    module = transformer(**attributes)
    assert (prefix_tokens(module), own_pooling(module)) == (prefix, pooling)


def test_max_of_negative_values_is_negative():
    assert np.all(pool(-torch.ones(1, 2, 3, 3), Form("map", 1), "max").numpy() == -1)


@pytest.mark.parametrize(
    ("tokens", "prefix"),
    [(4, 0), (9, 5), (5, 5), (3, 0)],  # four patches; with five tokens before them; only those
)
def test_the_number_of_patches_determines_the_prefix_tokens(tokens, prefix):
    network = Tokens(transformer(num_prefix_tokens=5))
    network.see("patch_embed", torch.Size([2, 8, 2, 2]))
    form = network.form_of(torch.Size([2, tokens, 8]), batch=2)
    assert form == Form("tokens", 2, prefix if tokens > 5 else 0)


def test_prefix_tokens_are_inferred_from_the_number_of_patches():
    network = Tokens(transformer())
    assert network.form_of(torch.Size([2, 17, 8]), batch=2) == Form("tokens", 2, 0)
    network.see("embeddings.patch_embeddings", torch.Size([2, 16, 8]))
    assert network.form_of(torch.Size([2, 17, 8]), batch=2) == Form("tokens", 2, 1)
    assert network.form_of(torch.Size([2, 16, 8]), batch=2) == Form("tokens", 2, 0)
    assert network.form_of(torch.Size([2, 4, 8]), batch=2) == Form("tokens", 2, 0)


def test_the_mean_replaces_a_pooling_that_cannot_be_applied():
    assert fitting_pooling(Form("tokens", 2, 1), "cls") == "cls"
    assert fitting_pooling(Form("tokens", 2, 0), "cls") == "mean-tokens"
    assert fitting_pooling(Form("map", 1), "cls") == "avg"
    assert fitting_pooling(Form("vector", 1), "cls") == "cls"
