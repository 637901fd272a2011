"""The training state: sums of readings, and the first step with a non-finite one."""

import pytest
import torch

from transferkit.core.errors import ModelError
from transferkit.training.state import NonFiniteGuard, StepLosses, TrainingState

NAN, INF = float("nan"), float("inf")


def step(number: int, **readings: float) -> StepLosses:
    return StepLosses(number, {name: torch.tensor(value) for name, value in readings.items()}, {})


def test_ten_steps_are_read_at_once_and_averaged_over_the_epoch():
    training_state = TrainingState()
    guard = NonFiniteGuard(training_state, advice="")
    for number in range(9):
        assert guard.add(step(number, total=float(number))) == {}
    assert guard.add(step(9, total=9.0, gradient_norm=4.0)) == {"total": 9.0, "gradient_norm": 4.0}
    guard.add(step(10, total=10.0))
    assert guard.read() == {"total": 10.0}
    assert guard.read() == {}
    line = training_state.close_epoch()
    assert (line["epoch"], line["total"], line["gradient_norm"]) == (1, 5.0, 4.0)  # the mean of 0 … 10


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("total", NAN, "The loss total is nan at step 3. Rest."),
        ("ce", -INF, "The loss ce is -inf at step 3. Rest."),
        ("gradient_norm", INF, "The gradient norm is inf at step 3. Rest."),
    ],
)
def test_the_first_step_that_is_not_finite_is_named(name, value, words):
    guard = NonFiniteGuard(TrainingState(), advice="Rest.")
    sound = {"total": 1.0, "ce": 1.0, "gradient_norm": 1.0}
    for number in range(3):
        guard.add(step(number, **sound))
    guard.add(step(3, **sound | {name: value}))
    for number in range(4, 9):
        guard.add(step(number, total=NAN, ce=NAN, gradient_norm=NAN))
    with pytest.raises(ModelError) as caught:
        guard.add(step(9, **sound))
    assert str(caught.value) == words
