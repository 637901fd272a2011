"""Fixtures of all tests of fine-tuning."""

from pathlib import Path

import pytest

from tests.protocols.pretraining.runs import draw_pictures


@pytest.fixture(autouse=True)
def _small_work(one_thread):
    pass


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"))
