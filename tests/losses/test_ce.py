import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from tests.losses.examples import classes, random
from tests.reference import losses as reference
from transferkit.losses.ce import ce_loss


@pytest.fixture
def logits():
    return torch.randn(7, 4, generator=random(0), dtype=torch.float64) * 3


LABELS = classes(7, 4, seed=1)


def test_against_the_reference(logits):
    assert ce_loss(logits, LABELS).item() == pytest.approx(reference.ce(logits, LABELS), rel=1e-12)


def test_gradient_is_softmax_minus_truth(logits):
    logits.requires_grad_()
    ce_loss(logits, LABELS).backward()
    truth = torch.eye(4, dtype=torch.float64)[LABELS]
    assert_close(logits.grad, (logits.detach().softmax(1) - truth) / 7)
    assert gradcheck(lambda x: ce_loss(x, LABELS), logits)


def test_order_of_the_batch_does_not_matter(logits):
    order = torch.randperm(7, generator=random(2))
    assert_close(ce_loss(logits[order], LABELS[order]), ce_loss(logits, LABELS))


def test_the_loss_of_uniform_logits_is_log_c():
    assert ce_loss(torch.zeros(5, 8), classes(5, 8, seed=3)).item() == pytest.approx(math.log(8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_converted_to_float32(dtype):
    logits = torch.tensor([[30000.0, 0.0], [0.0, 30000.0]], dtype=dtype)
    loss = ce_loss(logits, torch.tensor([0, 0]))
    assert loss.dtype == torch.float32
    assert_close(loss, logits[1, 1].float() / 2)  # exact: 0 for the first row, the margin for the second
