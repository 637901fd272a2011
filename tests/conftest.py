"""Conditions of every test: no settings of the user, and the same random draws in each run."""

from contextlib import contextmanager

import pytest
import torch
from hypothesis import settings

settings.register_profile("transferkit", deadline=None, derandomize=True, database=None)
settings.load_profile("transferkit")


@pytest.fixture(autouse=True)
def _no_personal_settings(monkeypatch):
    monkeypatch.delenv("TRANSFERKIT_WORKSPACE", raising=False)
    monkeypatch.delenv("TRANSFERKIT_DATA", raising=False)


@contextmanager
def _threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread():
    """Let torch use one thread, since a second one only slows down small work."""
    with _threads(1):
        yield


@pytest.fixture
def two_threads():
    """Let torch use two threads, even if tests run in parallel."""
    with _threads(2):
        yield


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
