"""What every test of detectors has."""

import pytest


@pytest.fixture(autouse=True)
def _small_work(one_thread):
    pass
