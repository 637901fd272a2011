import pytest
import torch
from torch.testing import assert_close

from tests.losses.examples import unit_rows
from transferkit import losses
from transferkit.losses.loss import LOSSES, BatchTerm, QueueTerm, at_least_float32, masked_logits, similarities

A, B = unit_rows(4, 3, seed=0), unit_rows(5, 3, seed=1)


def test_importing_the_package_fills_the_registry():
    assert set(LOSSES) == {"ce", "selfsupcon", "supcon", "supcon-batch"}
    assert losses.__all__ == ["ce", "selfsupcon", "supcon"]


def test_each_loss_declares_its_inputs():
    needs = {name: (type(term), term.head, term.views, term.labels) for name, term in LOSSES.items()}
    assert needs == {
        "ce": (BatchTerm, "classifier", 1, True),
        "selfsupcon": (QueueTerm, "projection", 2, False),
        "supcon": (QueueTerm, "projection", 2, True),
        "supcon-batch": (BatchTerm, "projection", 2, True),
    }


def test_similarities_are_dot_products_over_the_temperature():
    assert_close(similarities(A, B, temperature=0.5), torch.einsum("np,mp->nm", A, B) * 2)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_at_least_float32(given, used):
    assert at_least_float32(A.to(given)).dtype == used
    assert similarities(A.to(given), B.to(given), temperature=1.0).dtype == used


def test_masked_logits_get_no_probability_and_no_gradient():
    logits = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    kept = torch.tensor([[True, False, True]])
    probabilities = masked_logits(logits, kept).softmax(1)
    assert_close(probabilities[:, [0, 2]], logits[:, [0, 2]].softmax(1))
    assert probabilities[0, 1].item() == 0
    probabilities[0, 0].backward()
    assert logits.grad[0, 1].item() == 0


def test_a_fully_masked_row_has_a_finite_gradient():
    logits = torch.zeros(1, 3, requires_grad=True)
    masked_logits(logits, torch.zeros(1, 3, dtype=torch.bool)).logsumexp(1).sum().backward()
    assert_close(logits.grad, torch.zeros(1, 3))
