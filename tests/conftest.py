"""What every test can rely on: no settings of the person who runs it, no draws that differ by run."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("transferkit", deadline=None, derandomize=True, database=None)
settings.load_profile("transferkit")


@pytest.fixture(autouse=True)
def _no_personal_settings(monkeypatch):
    monkeypatch.delenv("TRANSFERKIT_WORKSPACE", raising=False)
    monkeypatch.delenv("TRANSFERKIT_DATA", raising=False)


@pytest.fixture
def one_thread():
    """Work that is small only waits for a second one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
