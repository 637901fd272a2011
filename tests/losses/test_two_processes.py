"""Two processes with half the batch each learn what one learns with all of it."""

import pytest
import torch
from torch.multiprocessing import spawn
from torch.testing import assert_close

from tests.losses.two_processes import CASES, trained, work

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return the results of the processes by rank, then by loss."""
    folder = tmp_path_factory.mktemp("ranks")
    spawn(work, args=(2, str(folder)), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("loss", CASES)
def test_two_processes_have_the_weights_gradients_and_queue_of_one(found, loss):
    alone = trained(loss)
    assert any(name.endswith(".grad") and value.abs().max() > 1e-3 for name, value in alone.items())
    assert_close(found[0][loss], alone, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("loss", CASES)
def test_both_processes_agree(found, loss):
    assert_close(found[1][loss], found[0][loss], rtol=0, atol=0)
