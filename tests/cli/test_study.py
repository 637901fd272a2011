"""``transferkit study``: options, output and exit codes."""

import json

import pytest
from click.testing import CliRunner

from tests.studies.studies import PLAIN, carried_out, drawn, place_at, plain_study
from transferkit.core.locks import Lock
from transferkit_cli.main import cli


def invoke(*arguments):
    return CliRunner().invoke(cli, ["study", *map(str, arguments)], prog_name="transferkit")


@pytest.fixture
def written(tmp_path):
    """A study file."""
    file = tmp_path / "plain.toml"
    file.write_text(PLAIN.format(pictures=drawn(tmp_path)))
    return file


def test_presets_are_listed_with_command_and_cost():
    found = json.loads(invoke("list", "--json").stdout)
    assert [one["study"] for one in found] == ["demo", "mini", "paper", "kornblith12"]
    assert all(one["command"] and one["takes"] and one["gives"] for one in found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "mimi"], "Did you mean 'mini'?"),
        (["run", "no.toml"], "no.toml is not a file"),
        (["run", "demo", "--address", "auto"], "add --engine ray"),
        (["show", "mimi"], "Did you mean 'mini'?"),
    ],
)
def test_invalid_options_are_rejected(tmp_path, arguments, words):
    result = invoke(*arguments, "--workspace", tmp_path / "w")
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "w").exists()


def test_a_dry_run_lists_the_remaining_tasks_and_writes_no_features(tmp_path, written):
    result = invoke("run", written, "--dry-run", "--json", "--workspace", tmp_path / "w")
    assert result.exit_code == 0, result.stderr
    plan = json.loads(result.stdout)
    assert {line["work"]: line["tasks"] for line in plan["lines"]}["extract"] == 2
    assert not (tmp_path / "w" / "features").exists()


def test_a_finished_study_shows_its_ranking_without_an_engine(tmp_path, written):
    carried_out(plain_study(tmp_path), place_at(tmp_path / "w"))
    result = invoke("run", written, "--workspace", tmp_path / "w")
    assert result.exit_code == 0, result.stderr
    assert "significantly better than" in result.stdout
    assert "Next: transferkit report" in result.stdout
    shown = invoke("show", written, "--workspace", tmp_path / "w")
    assert "plain: 10 of 10 tasks are done" in shown.stdout
    ranked = CliRunner().invoke(cli, ["report", "--terminal", "--workspace", str(tmp_path / "w")]).stdout
    assert ranked.startswith("Under linear, ")
    assert ranked in result.stdout, "the ranking is that of the report"
    assert ranked in shown.stdout
    value = json.loads(invoke("run", written, "--json", "--workspace", tmp_path / "w").stdout)
    assert value["tasks"]["done"] == 10
    assert len(value["results"]) == 8


def test_a_second_run_of_a_running_study_is_rejected(tmp_path, written):
    with Lock(tmp_path / "w" / "studies" / "plain" / "lock"):
        result = invoke("run", written, "--workspace", tmp_path / "w")
    assert result.exit_code == 2
    assert "Another process is running the study plain" in result.stderr


@pytest.mark.slow
def test_a_failed_task_gives_exit_code_1_and_the_remaining_tasks_run(tmp_path, written):
    written.write_text(written.read_text() + '\n[[probe]]\nmodels = ["run:nothing"]\n')
    result = invoke("run", written, "--workspace", tmp_path / "w", "--jobs", "1", "--quiet")
    assert result.exit_code == 1
    assert "1 of 12 tasks failed, and 1 depend on them" in result.stderr
    assert "significantly better than" in result.stdout
    assert "extract run:nothing" in result.stdout
    shown = invoke("show", written, "--workspace", tmp_path / "w")
    assert "No run named 'nothing'" in " ".join(shown.stdout.split())
