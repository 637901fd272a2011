"""What every test of fine-tuning has."""

from pathlib import Path

import pytest
import torch

from tests.protocols.pretraining.runs import draw_pictures


@pytest.fixture(autouse=True)
def _one_thread():
    """Work as small as this only waits for a second one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"))
