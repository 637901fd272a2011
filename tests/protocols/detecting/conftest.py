"""Fixtures of all tests of detectors."""

import pytest


@pytest.fixture(autouse=True)
def _small_work(one_thread):
    pass
