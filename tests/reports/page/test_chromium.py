"""Search for the browser that the tests of the page use."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.reports.page import chromium as module
from tests.reports.page.chromium import chromium


@pytest.fixture
def machine(monkeypatch):
    """A machine with apt-get and without a browser; the commands that were run on it."""
    programs = {"apt-get"}
    machine = SimpleNamespace(installs="nothing", stuck=False, commands=[])

    def run(command, **_):
        machine.commands.append(" ".join(command))
        if machine.commands[-1].endswith(machine.installs):
            programs.add("chromium")
        if machine.stuck:
            raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}" if name in programs else None)
    monkeypatch.setattr(module.subprocess, "run", run)
    monkeypatch.setattr(module.os, "getuid", lambda: 0)
    return machine


def test_one_that_is_there_is_taken(machine, tmp_path):
    assert chromium(tmp_path) == tmp_path
    assert machine.commands == []


def test_where_there_is_none_it_is_installed_once(machine, tmp_path):
    machine.installs = "--no-install-recommends chromium"
    assert chromium(tmp_path / "none") == Path("/usr/bin/chromium")
    assert [command.split()[0] for command in machine.commands] == ["apt-get", "apt-get"]
    assert chromium(tmp_path / "none") == Path("/usr/bin/chromium")
    assert len(machine.commands) == 2


@pytest.mark.parametrize("stuck", [False, True])
def test_where_none_can_be_had_everything_was_tried(machine, tmp_path, stuck):
    machine.stuck = stuck
    assert chromium(tmp_path / "none") is None
    assert len(machine.commands) == 3
    assert machine.commands[-1].endswith("-m playwright install chromium")


def test_the_system_is_not_changed_without_permission(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "getuid", lambda: 1000)
    assert chromium(tmp_path / "none") is None
    assert [command.split()[1:4] for command in machine.commands] == [["-m", "playwright", "install"]]
