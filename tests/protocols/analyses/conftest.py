from pathlib import Path

import pytest

from tests.protocols.analyses.pictures import draw_discs


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"folder:{draw_discs(tmp_path_factory.mktemp('discs'))}"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace that is shared by the tests that only add to it."""
    return tmp_path_factory.mktemp("shared")
