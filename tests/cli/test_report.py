"""``transferkit report``: formats, filters and errors."""

import json
import sys

import pytest
from click.testing import CliRunner

from tests.reports.studied import study
from transferkit.core.results import ResultStore
from transferkit.core.workspace import Workspace
from transferkit_cli.main import cli


@pytest.fixture
def workspace(tmp_path):
    found = Workspace.at(tmp_path / "w")
    for one in study():
        ResultStore(found.results).add(one)
    return found


def report(workspace, *arguments):
    found = CliRunner().invoke(cli, ["report", "--workspace", str(workspace.root), *arguments])
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def test_the_page_is_in_the_reports_folder_and_its_size_is_printed(workspace):
    found = report(workspace, "--gallery", "none")
    path = workspace.reports / "report.html"
    assert found.exit_code == 0
    assert f"{path}: " in found.stdout.replace("\n", "")
    assert "MiB" in found.stdout
    assert path.stat().st_size < 12 * 2**20
    assert "Plotly" in path.read_text(encoding="utf-8")


def test_a_failed_gallery_is_reported_and_the_page_is_written(workspace):
    found = report(workspace, "--gallery", "mini/digits")
    assert found.exit_code == 0
    assert "No gallery of mini/digits: The features of good on mini/digits train" in " ".join(found.stdout.split())
    assert "No gallery of mini/digits" in (workspace.reports / "report.html").read_text(encoding="utf-8")


def test_a_gallery_of_an_unknown_data_set_is_rejected(workspace):
    found = report(workspace, "--gallery", "mini/digit")
    assert found.exit_code == 2
    assert "Did you mean 'mini/digits'?" in found.stderr
    found = report(workspace, "--gallery", "none,mini/digits")
    assert "--gallery none cannot be combined with a data set." in " ".join(found.stderr.split())


@pytest.mark.parametrize(
    ("form", "ending", "start"),
    [
        ("md", ".md", "## Means per model"),
        ("latex", ".tex", "% Means per model"),
        ("csv", ".csv", "model,data"),
        ("json", ".json", "["),
    ],
)
def test_other_formats_are_written(workspace, form, ending, start):
    assert report(workspace, "--format", form).exit_code == 0
    assert (workspace.reports / f"report{ending}").read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize(
    ("name", "start"),
    [("r.csv", "model,data"), ("r.MD", "## Means per model"), ("r.html", "<!doctype html>")],
)
def test_the_extension_sets_the_format(workspace, tmp_path, name, start):
    assert report(workspace, "-o", str(tmp_path / name), "--gallery", "none").exit_code == 0
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "r.md", "--format", "csv"], "r.md has the extension of the format md, but --format is csv: omit"),
        (
            ["-o", "r.any"],
            "r.any has the extension '.any', which names no format. Choose from: .html (page), .md (md)",
        ),
        (["-o", "r", "--format", "md"], "r has the extension '', which names no format."),
        (
            ["-o", "r.md", "--terminal"],
            "--terminal writes no file: omit --output and --format.",
        ),
        (["--format", "md", "--terminal"], "--terminal writes no file"),
    ],
)
def test_invalid_options_are_rejected_before_anything_is_written(workspace, arguments, words):
    found = report(workspace, *arguments)
    assert found.exit_code == 2
    assert words in found.stderr
    assert not workspace.reports.exists()


@pytest.mark.parametrize("option", ["-o", "--figures"])
def test_an_unwritable_path_gives_an_error_with_a_remedy(workspace, tmp_path, option):
    (tmp_path / "file").write_text("")
    place = str(tmp_path / "file" / "r.md") if option == "-o" else str(tmp_path / "file")
    found = report(workspace, option, place, "--protocol", "cka", *([] if option == "-o" else ["--terminal"]))
    assert found.exit_code == 1
    assert found.stderr.startswith(f"Error: {tmp_path / 'file'}/")
    assert found.stderr.endswith("Choose another path for it, or another folder with --workspace.\n")


def test_parquet_keeps_numbers(workspace, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    report(workspace, "--output", str(tmp_path / "r.parquet"))
    table = parquet.read_table(tmp_path / "r.parquet").to_pydict()
    assert sorted(table["value"]) == pytest.approx(sorted(one.value for one in study()))


def test_without_pyarrow_the_extra_is_named(workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = report(workspace, "--format", "parquet")
    assert found.exit_code == 1
    assert found.stderr == (
        "Error: pyarrow is needed for Parquet files. Install it with: pip install 'transferkit[parquet]'\n"
    )


def test_figures_are_written_in_three_formats(workspace, tmp_path):
    found = report(workspace, "--figures", str(tmp_path / "f"), "--terminal", "--protocol", "cka")
    assert found.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["cka.pdf", "cka.png", "cka.svg"]


def test_the_terminal_shows_the_ranking_and_writes_no_page(workspace):
    found = report(workspace, "--terminal", "--protocol", "linear")
    assert found.stdout.startswith("Under linear, good has the highest mean")
    assert "linear: mean over 4 data sets" in found.stdout
    assert not workspace.reports.exists()


def test_json_contains_the_files_and_records(workspace):
    told = json.loads(report(workspace, "--terminal", "--json").stdout)
    assert told["rankings"][0]["recipe"] == "linear"
    assert told["rankings"][0]["mean_ranks"]["good"] == 1.0
    told = json.loads(report(workspace, "--gallery", "none", "--json").stdout)
    assert list(told["files"]) == [str(workspace.reports / "report.html")]
    assert told["records"] == len(study())


def test_filters_narrow_the_records(workspace):
    told = json.loads(report(workspace, "--terminal", "--json", "--model", "good,poor", "--protocol", "linear").stdout)
    assert list(told["rankings"][0]["means"]) == ["good", "poor"]
    assert len(told["rankings"]) == 1


def test_a_filter_that_matches_nothing_has_a_suggestion(workspace):
    found = report(workspace, "--model", "goood")
    assert found.exit_code == 2
    assert "Did you mean 'good'?" in found.stderr
    found = report(workspace, "--protocol", "cka", "--data", "mini/nothing")
    assert "No record of a data set named 'mini/nothing'" in found.stderr


def test_damaged_records_are_left_out_and_counted(workspace):
    (workspace.results / "broken.json").write_text("{")
    found = report(workspace, "--gallery", "none")
    assert found.exit_code == 0
    assert f"{len(study())} records" in found.stdout
    assert "broken.json is not a valid result record" in " ".join(found.stdout.split())


def test_an_empty_workspace_gives_the_command_to_run(tmp_path):
    found = report(Workspace.at(tmp_path / "none"))
    assert found.exit_code == 1
    assert found.stderr.startswith("Error: No records in ")
    assert "Run transferkit demo, or transferkit probe" in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert not (tmp_path / "none").exists()


def test_a_workspace_of_damaged_records_is_an_error(tmp_path):
    workspace = Workspace.at(tmp_path / "w")
    workspace.results.mkdir(parents=True)
    (workspace.results / "broken.json").write_text("{")
    found = report(workspace)
    assert found.exit_code == 1
    assert "broken.json is not a valid result record" in found.stderr
