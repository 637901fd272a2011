"""The section of docs/datasets.md that is built from the registry."""

import pytest
from click.testing import CliRunner

from docs import build_datasets
from transferkit.protocols.dataset_catalog import GROUPS


@pytest.fixture
def page(tmp_path, monkeypatch):
    path = tmp_path / "datasets.md"
    path.write_text(build_datasets.PAGE.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(build_datasets, "PAGE", path)
    return path


def test_the_page_is_up_to_date():
    result = CliRunner().invoke(build_datasets.main, ["--check"])
    assert result.exit_code == 0, result.output


def test_every_published_set_has_an_entry():
    section = build_datasets.published_sets()
    for name in (*GROUPS["paper12"], *GROUPS["kornblith12"]):
        assert section.count(f"#### `{name}`\n") == 1


def test_an_old_section_is_found_out_and_made_anew(page):
    fresh = page.read_text("utf-8")
    page.write_text(fresh.replace("9 classes; 17509 all.", "8 classes; 17509 all."), "utf-8")
    result = CliRunner().invoke(build_datasets.main, ["--check"])
    assert result.exit_code == 1
    assert "docs/datasets.md is out of date: run python docs/build_datasets.py --registry." in result.output
    assert CliRunner().invoke(build_datasets.main, ["--registry"]).exit_code == 0
    assert page.read_text("utf-8") == fresh


def test_what_is_measured_stays(page):
    page.write_text("measured\n\n" + build_datasets.published_sets() + "after\n", "utf-8")
    CliRunner().invoke(build_datasets.main, ["--registry"])
    assert page.read_text("utf-8") == "measured\n\n" + build_datasets.published_sets() + "after\n"


def test_a_page_without_the_section():
    with pytest.raises(ValueError, match="lacks <!-- published sets: begin -->"):
        build_datasets.with_published_sets("# Data sets\n")


def test_the_introduction_is_the_page_s():
    assert build_datasets.PAGE.read_text("utf-8").startswith(build_datasets.INTRODUCTION)
