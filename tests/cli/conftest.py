"""Fixtures that tests of several commands in sequence share."""

import json

import pytest
from click.testing import CliRunner

from transferkit_cli.main import cli


@pytest.fixture
def answered(tmp_path):
    """Return ``answered(*arguments)``, which returns exit code, JSON or None, and standard error in one line."""

    def answered(*arguments):
        options = ["-q", "--json", "--workspace", str(tmp_path / "ws")]
        result = CliRunner().invoke(cli, [*arguments, *options], prog_name="transferkit")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        value = json.loads(result.stdout) if result.stdout else None
        return result.exit_code, value, " ".join(result.stderr.split())

    return answered
