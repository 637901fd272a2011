"""The page that is built from the commands' help, and names on all pages that must exist."""

import ast
import re
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from docs import build_cli
from tests.tree import ROOT
from transferkit.studies.reading import parse_study

PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
CODE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
OTHER_PROGRAMS = {"--registry", "--train_aug", "--val_aug", "--image_size"}
"""Options on the pages that are not options of ``transferkit``."""


def code_blocks(language):
    """Yield page and text of each block of code in a language."""
    for page, text in PAGES.items():
        yield from ((page, block) for kind, block in CODE.findall(text) if kind == language)


def code_spans(page):
    """Return the inline code of a page."""
    return re.findall(r"`([^`]+)`", CODE.sub("", PAGES[page]))


def test_every_option_on_a_page_is_in_the_command_reference():
    known = set(OPTION.findall(PAGES["cli.md"])) | OTHER_PROGRAMS
    commands = [
        (page, line)
        for page, block in code_blocks("bash")
        for line in block.replace("\\\n", "").splitlines()
        if line.startswith("transferkit ")
    ]
    spans = [(page, span) for page in PAGES if page != "cli.md" for span in code_spans(page)]
    assert commands
    assert not [(page, one) for page, text in commands + spans for one in OPTION.findall(text) if one not in known]


def test_every_source_path_on_a_page_exists():
    spans = [(page, span) for page in PAGES for span in code_spans(page)]
    paths = [(page, span) for page, span in spans if re.fullmatch(r"(transferkit|cli|docs|tests)/[\w./-]+", span)]
    assert paths
    assert not [(page, path) for page, path in paths if not (ROOT / path).exists()]


def test_every_import_on_a_page_works():
    found = [
        (node.module, name.name)
        for _, block in code_blocks("python")
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("transferkit")
        for name in node.names
    ]
    assert found
    assert not [(module, name) for module, name in found if not hasattr(import_module(module), name)]


def test_the_study_file_on_its_page_is_valid():
    (text,) = (block for page, block in code_blocks("toml") if page == "studies.md")
    assert parse_study(text, where="studies.md").sizes == {"imagenet-lite0": 128}


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
