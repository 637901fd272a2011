"""The page that is built from the commands' help."""

import click
import pytest
from click.testing import CliRunner

from docs import build_cli


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def kitchen():
    """Cook."""


@kitchen.command()
@click.option("--minutes", default=3, show_default=True, help=f"How {'very ' * 20}long.")
def boil(minutes):
    """Boil an egg."""


@kitchen.command(hidden=True)
def secret():
    """Do nothing; the command is hidden."""


@kitchen.group()
def bake():
    """Use the oven."""


@bake.command()
def bread():
    """Bake bread."""


def test_every_visible_command_has_a_section():
    headings = [text.splitlines()[0] for text in build_cli.sections(kitchen, "kitchen")]
    assert headings == ["## kitchen", "## kitchen bake", "## kitchen bake bread", "## kitchen boil"]


def test_a_section_is_the_help_at_100_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    page = "\n".join(build_cli.sections(kitchen, "kitchen"))
    assert "Usage: kitchen boil [OPTIONS]\n\n  Boil an egg.\n" in page
    assert "-h, --help" in page
    assert 80 < max(map(len, page.splitlines())) <= 100


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setattr(build_cli, "PAGE", tmp_path / "cli.md")
    monkeypatch.setattr(build_cli, "cli", kitchen)
    return tmp_path / "cli.md"


def test_a_fresh_page_passes_the_check(page):
    assert CliRunner().invoke(build_cli.main, []).exit_code == 0
    assert page.read_text(encoding="utf-8").startswith("# Commands\n")
    assert CliRunner().invoke(build_cli.main, ["--check"]).exit_code == 0


def test_an_old_page_is_answered_with_the_difference(page):
    CliRunner().invoke(build_cli.main, [])
    old = page.read_text(encoding="utf-8").replace("Boil an egg.", "Boil two eggs.")
    page.write_text(old, encoding="utf-8")
    result = CliRunner().invoke(build_cli.main, ["--check"])
    assert result.exit_code == 1
    assert "-  Boil two eggs.\n+  Boil an egg.\n" in result.output
    assert result.output.endswith("Error: docs/cli.md is out of date: run make docs.\n")
    assert page.read_text(encoding="utf-8") == old, "a check changes nothing"


def test_an_absent_page_is_out_of_date(page):
    assert CliRunner().invoke(build_cli.main, ["--check"]).exit_code == 1
    assert not page.exists()
