import math

import pytest
import torch
from lightly.loss import NTXentLoss
from pytorch_metric_learning.losses import SupConLoss
from torch.autograd import gradcheck
from torch.testing import assert_close

from tests.losses.examples import classes, full_bank, random, rotation, unit_rows
from tests.reference import losses as reference
from transferkit.core.errors import ShapeError
from transferkit.losses.queue import Bank
from transferkit.losses.supcon import supcon_loss, supcon_queue_loss

N, P, K = 8, 5, 13
EMBEDDINGS, BANK = unit_rows(N, P, seed=0), unit_rows(K, P, seed=1)
LABELS, BANK_LABELS = classes(N, 3, seed=2), classes(K, 3, seed=3)
LONELY = torch.tensor([0, 0, 1, 2, 2, 2, 3, 0])  # 1 and 3 occur once
T = 0.07


def queue_loss(queries, labels=LABELS, bank=BANK, bank_labels=BANK_LABELS, temperature=T):
    return supcon_queue_loss(queries, labels, full_bank(bank, bank_labels), temperature=temperature)


def batch_loss(embeddings, labels=LABELS, temperature=T):
    return supcon_loss(embeddings, labels, temperature=temperature)


def gradient(loss, x=EMBEDDINGS):
    x = x.clone().requires_grad_()
    loss(x).backward()
    return x.grad


def along_the_sphere(gradient, x=EMBEDDINGS):
    """Return the part of a gradient that remains for a loss that normalises ``x`` itself."""
    return gradient - (gradient * x).sum(1, keepdim=True) * x


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize("labels", [LABELS, LONELY, torch.tensor([0, 0, -1, -1, 1, 1, 2, 2])])
def test_in_batch_against_the_reference(labels, temperature):
    expected = reference.supcon(EMBEDDINGS, labels, temperature)
    assert batch_loss(EMBEDDINGS, labels, temperature).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize("labels", [LABELS, LONELY, torch.tensor([0, 0, -1, -1, 1, 1, 2, 2])])
def test_with_a_queue_against_the_reference(labels, temperature):
    bank_labels = torch.where(torch.arange(K) == 4, -1, BANK_LABELS)
    expected = reference.supcon_queue(EMBEDDINGS, labels, BANK, bank_labels, temperature)
    loss = queue_loss(EMBEDDINGS, labels, bank_labels=bank_labels, temperature=temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_gradients_against_the_reference():
    rows = EMBEDDINGS.tolist()
    pairs = [
        (lambda z: batch_loss(z, LONELY), lambda z: reference.supcon(z, LONELY, T)),
        (queue_loss, lambda z: reference.supcon_queue(z, LABELS, BANK, BANK_LABELS, T)),
    ]
    for loss, slow in pairs:
        expected = torch.tensor(reference.numeric_gradient(slow, rows, step=1e-7), dtype=torch.float64)
        assert_close(gradient(loss), expected, rtol=1e-5, atol=1e-6)
        assert gradcheck(loss, EMBEDDINGS.clone().requires_grad_())


@pytest.mark.parametrize("labels", [LABELS, LONELY])
def test_in_batch_against_pytorch_metric_learning(labels):
    theirs = SupConLoss(temperature=T)
    assert_close(batch_loss(EMBEDDINGS, labels), theirs(EMBEDDINGS, labels))
    ours = along_the_sphere(gradient(lambda z: batch_loss(z, labels)))
    assert_close(ours, gradient(lambda z: theirs(z, labels)))


def test_with_a_queue_against_pytorch_metric_learning():
    def theirs(z):
        return SupConLoss(temperature=T)(z, LABELS, ref_emb=BANK, ref_labels=BANK_LABELS)

    assert_close(queue_loss(EMBEDDINGS), theirs(EMBEDDINGS))
    assert_close(along_the_sphere(gradient(queue_loss)), gradient(theirs))


def test_two_views_of_images_that_share_no_class_are_simclr():
    theirs = NTXentLoss(temperature=T)
    each = torch.arange(N // 2).repeat(2)
    assert_close(batch_loss(EMBEDDINGS, each), theirs(*EMBEDDINGS.split(N // 2)))
    ours = along_the_sphere(gradient(lambda z: batch_loss(z, each)))
    assert_close(ours, gradient(lambda z: theirs(*z.split(N // 2))))


def test_order_does_not_matter():
    order, places = torch.randperm(N, generator=random(4)), torch.randperm(K, generator=random(5))
    assert_close(batch_loss(EMBEDDINGS[order], LABELS[order]), batch_loss(EMBEDDINGS))
    moved = queue_loss(EMBEDDINGS[order], LABELS[order], BANK[places], BANK_LABELS[places])
    assert_close(moved, queue_loss(EMBEDDINGS))


def test_the_loss_is_invariant_to_rotations():
    turn = rotation(P, seed=6)
    assert_close(batch_loss(EMBEDDINGS @ turn), batch_loss(EMBEDDINGS))
    assert_close(queue_loss(EMBEDDINGS @ turn, bank=BANK @ turn), queue_loss(EMBEDDINGS))


def test_names_of_the_classes_do_not_matter():
    names = torch.tensor([7, 3, 11])
    assert_close(batch_loss(EMBEDDINGS, names[LABELS]), batch_loss(EMBEDDINGS))


def test_the_loss_of_equal_embeddings_is_the_log_of_their_number():
    same = unit_rows(1, P, seed=7)
    assert batch_loss(same.expand(N, P)).item() == pytest.approx(math.log(N - 1))  # log(2n − 1), n images
    assert queue_loss(same.expand(N, P), bank=same.expand(K, P)).item() == pytest.approx(math.log(K))


def test_limits_of_the_temperature():
    assert batch_loss(EMBEDDINGS, temperature=1e9).item() == pytest.approx(math.log(N - 1))
    assert queue_loss(EMBEDDINGS, temperature=1e9).item() == pytest.approx(math.log(K))
    similarity = EMBEDDINGS @ BANK.T
    positive = (LABELS[:, None] == BANK_LABELS).double()
    margin = similarity.max(1).values - (similarity * positive).sum(1) / positive.sum(1)
    cold = 1e-6 * queue_loss(EMBEDDINGS, temperature=1e-6).item()
    assert cold == pytest.approx(margin.mean().item(), abs=1e-5)


def test_anchors_without_positives_are_left_out():
    with_partner = torch.isin(LONELY, torch.tensor([0, 2]))
    logits = (EMBEDDINGS @ EMBEDDINGS.T / T).fill_diagonal_(-torch.inf).log_softmax(1).fill_diagonal_(0)
    positive = (LONELY[:, None] == LONELY).double().fill_diagonal_(0)
    per_anchor = -(logits * positive).sum(1)[with_partner] / positive.sum(1)[with_partner]
    assert_close(batch_loss(EMBEDDINGS, LONELY), per_anchor.mean())


def test_an_anchor_without_positives_is_still_a_negative_of_other_anchors():
    without = torch.arange(N) != 6
    assert batch_loss(EMBEDDINGS, LONELY) > batch_loss(EMBEDDINGS[without], LONELY[without])


def test_without_positives_loss_and_gradient_are_zero():
    for loss in (
        lambda z: batch_loss(z, torch.arange(N)),
        lambda z: batch_loss(z, torch.full((N,), -1)),
        lambda z: queue_loss(z, LABELS + 3),
        lambda z: queue_loss(z, torch.full((N,), -1), bank_labels=torch.full((K,), -1)),
    ):
        assert loss(EMBEDDINGS).item() == 0
        assert_close(gradient(loss), torch.zeros_like(EMBEDDINGS))


def test_unwritten_slots_are_ignored():
    def partly(z):
        bank = Bank(BANK, BANK_LABELS, torch.arange(K) < 7)
        return supcon_queue_loss(z, LABELS, bank, temperature=T)

    def shorter(z):
        return queue_loss(z, bank=BANK[:7], bank_labels=BANK_LABELS[:7])

    assert_close(partly(EMBEDDINGS), shorter(EMBEDDINGS))
    assert_close(gradient(partly), gradient(shorter))


def test_for_an_empty_bank_loss_and_gradient_are_zero():
    def empty(z):
        bank = Bank(BANK, BANK_LABELS, torch.zeros(K, dtype=torch.bool))
        return supcon_queue_loss(z, LABELS, bank, temperature=T)

    assert empty(EMBEDDINGS).item() == 0
    assert_close(gradient(empty), torch.zeros_like(EMBEDDINGS))


def test_a_batch_of_one_is_refused():
    with pytest.raises(ShapeError, match="1 is too few, give 2 or more"):
        batch_loss(EMBEDDINGS[:1], LABELS[:1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_computes_in_float32(dtype):
    z, bank = EMBEDDINGS.to(dtype), BANK.to(dtype)
    for low, exact in [
        (batch_loss(z, temperature=1e-3), batch_loss(z.double(), temperature=1e-3)),
        (
            queue_loss(z, bank=bank, temperature=1e-3),
            queue_loss(z.double(), bank=bank.double(), temperature=1e-3),
        ),
    ]:
        assert low.dtype == torch.float32
        assert low.item() == pytest.approx(exact.item(), rel=1e-5)


def test_autocast_does_not_round_the_similarities():
    with torch.autocast("cpu", torch.bfloat16):
        low = batch_loss(EMBEDDINGS.float()), queue_loss(EMBEDDINGS.float(), bank=BANK.float())
    assert_close(low[0], batch_loss(EMBEDDINGS.float()), rtol=1e-6, atol=1e-6)
    assert_close(low[1], queue_loss(EMBEDDINGS.float(), bank=BANK.float()), rtol=1e-6, atol=1e-6)
