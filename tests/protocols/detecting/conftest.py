"""What every test of detectors has."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Work as small as this only waits for a second one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
