from collections import deque

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from transferkit.core.errors import ShapeError, UsageError
from transferkit.losses.queue import LabelledQueue

DIM = 2


def numbered(first, count):
    """Keys whose entries tell when they came, and labels that do so too."""
    when = torch.arange(first, first + count)
    return when[:, None].expand(count, DIM).float(), when


def contents(bank):
    """``(label, key)`` of the filled places."""
    return {
        (label, *key)
        for label, key, there in zip(bank.labels.tolist(), bank.keys.tolist(), bank.filled.tolist(), strict=True)
        if there
    }


@given(size=st.integers(2, 20), batches=st.lists(st.integers(1, 19), max_size=12))
def test_the_queue_contains_the_same_keys_as_a_deque(size, batches):
    queue, remembered, first = LabelledQueue(size, DIM), deque(maxlen=size), 0
    for count in (min(batch, size - 1) for batch in batches):
        keys, labels = numbered(first, count)
        queue.enqueue(keys, labels)
        remembered.extend(labels.tolist())
        first += count
        assert contents(queue.bank()) == {(when, *[float(when)] * DIM) for when in remembered}
        assert queue.position.item() == first % size


def test_a_full_queue_overwrites_the_oldest_keys_in_place():
    queue = LabelledQueue(5, DIM)
    for first, count in [(0, 3), (3, 4), (7, 3)]:
        queue.enqueue(*numbered(first, count))
    assert queue.labels.tolist() == [5, 6, 7, 8, 9]
    queue.enqueue(*numbered(10, 2))
    assert queue.labels.tolist() == [10, 11, 7, 8, 9]


def test_a_fresh_queue_is_empty_and_unlabelled():
    bank = LabelledQueue(4, DIM).bank()
    assert not bank.filled.any()
    assert bank.labels.tolist() == [-1] * 4


def test_a_bank_is_a_copy():
    queue = LabelledQueue(4, DIM)
    queue.enqueue(*numbered(0, 3))
    bank = queue.bank()
    queue.enqueue(*numbered(3, 3))
    assert bank.labels.tolist() == [0, 1, 2, -1]
    assert bank.keys[0].tolist() == [0.0, 0.0]
    assert bank.filled.tolist() == [True, True, True, False]


def test_a_part_is_a_range_of_columns():
    queue = LabelledQueue(3, 4)
    queue.enqueue(torch.arange(8.0).reshape(2, 4), torch.tensor([5, 6]))
    part = queue.bank().part(1, 2)
    assert part.keys[:2].tolist() == [[2.0, 3.0], [6.0, 7.0]]
    assert part.labels.tolist() == [5, 6, -1]


def test_the_queue_continues_from_the_saved_state():
    whole, first_half, second_half = (LabelledQueue(5, DIM) for _ in range(3))
    for queue in (whole, first_half):
        queue.enqueue(*numbered(0, 4))
    second_half.load_state_dict(first_half.state_dict())
    for queue in (whole, second_half):
        queue.enqueue(*numbered(4, 3))
    assert_close(second_half.state_dict(), whole.state_dict())
    assert contents(second_half.bank()) == contents(whole.bank())


def test_queued_keys_have_no_gradient():
    queue = LabelledQueue(5, DIM)
    keys, labels = numbered(0, 2)
    queue.enqueue(keys.requires_grad_(), labels)
    assert not queue.keys.requires_grad


@pytest.mark.parametrize("count", [4, 7])
def test_a_queue_not_larger_than_the_batch_is_refused(count):
    queue = LabelledQueue(4, DIM)
    with pytest.raises(UsageError, match=rf"queue of 4 keys cannot take batches of {count}.*queue larger"):
        queue.enqueue(*numbered(0, count))
    assert not queue.bank().filled.any()


def test_keys_of_another_length_are_refused():
    with pytest.raises(ShapeError, match=r"takes keys \[n, 2\] and labels \[n\], not \[1, 3\] and \[1\]"):
        LabelledQueue(4, DIM).enqueue(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long))


def test_another_number_of_labels_than_keys_is_refused():
    with pytest.raises(ShapeError, match=r"not \[2, 2\] and \[1\]"):
        LabelledQueue(4, DIM).enqueue(torch.zeros(2, 2), torch.zeros(1, dtype=torch.long))
