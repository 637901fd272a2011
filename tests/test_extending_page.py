"""The files on the page about extending work as plug-ins, from a folder outside the package."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.tree import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^<!-- file: (\S+) -->\n```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))
STUDY = """
name = "mine"
models = ["thumbnail:4", "pixels"]
data = ["stripes"]

[[probe]]
protocol = "centroid"
shrink = 0.5

[[analyze]]
kind = "norms"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run ``transferkit`` in a new process and a folder that contains the page's files, with some as plug-ins."""
    folder = tmp_path_factory.mktemp("outside")
    for name, code in FILES.items():
        (folder / name).write_text(code, encoding="utf-8")
    (folder / "mine.toml").write_text(STUDY, encoding="utf-8")

    def run(*arguments, plugins=(), code=0, **variables):
        options = [part for name in plugins for part in ("--plugin", name)]
        command = (sys.executable, "-m", "transferkit", *arguments, *options)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRANSFERKIT_WORKSPACE": "ws", **variables}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    run.folder = folder
    return run


def test_the_page_has_a_file_for_each_registry():
    registered = "".join(FILES.values())
    assert all(f"{name}.register(" in registered for name in ("DATASETS", "ENCODERS", "PROBES", "ANALYSES", "LOSSES"))
    assert "@target(" in registered


def test_entries_are_listed_and_named_in_help(run):
    assert "thumbnail:N" in run("models", "list", plugins=["thumbnail.py"])
    listed = json.loads(run("datasets", "list", "--json", plugins=["stripes.py"]))
    assert any(one["name"] == "stripes" for one in listed)
    text = run("probe", "--help", plugins=["centroid.py"])
    assert "Options of --protocol centroid:\n  --shrink X" in text
    assert "norms            Measure how much the lengths of feature vectors vary." in run(
        "analyze", "--help", plugins=["norms.py"]
    )
    assert "smooth-ce" in "".join(run("pretrain", "--help", plugins=["smooth_ce.py"]).split())


def test_misspelled_entries_are_suggested(run):
    error = run("datasets", "info", "stripe", plugins=["stripes.py"], code=2)
    assert error == "Error: No data set named 'stripe'. Did you mean 'stripes'?\n"
    error = run("probe", "--protocol", "centroids", plugins=["centroid.py"], code=2)
    assert "Did you mean 'centroid'?" in error
    error = run("probe", "--protocol", "centroid", "--shrink", "2", plugins=["centroid.py"], code=2)
    assert "Error: --shrink 2 is invalid: give 0 or more and at most 1." in error


def test_a_probe_runs_on_a_model_and_a_data_set_of_plugins(run):
    arguments = ("probe", "--model", "thumbnail:8", "--data", "stripes", "--protocol", "centroid", "--json")
    plugins = ("stripes.py", "thumbnail.py", "centroid.py")
    (record,) = json.loads(run(*arguments, "--shrink", "0.25", "--workers", "2", plugins=plugins))
    assert (record["protocol"], record["model"], record["data"]) == ("centroid", "thumbnail:8", "stripes")
    assert (record["dim"], record["n"], record["settings"]) == (192, 40, {"shrink": 0.25})
    (again,) = json.loads(run(*arguments, "--shrink", "0.25", plugins=plugins))
    assert again == record


def test_an_analysis_is_a_command(run):
    arguments = ("analyze", "norms", "--model", "pixels", "--data", "stripes", "--json")
    (record,) = json.loads(run(*arguments, plugins=("stripes.py", "norms.py")))
    assert (record["protocol"], record["metric"], record["n"]) == ("norms", "variation", 120)
    assert "norms" not in run("analyze", "--help")


def test_a_target_is_scored_and_named_in_the_record(run):
    arguments = ("probe", "--model", "pixels", "--data", "stripes", "--protocol", "semantic", "--level", "low")
    (record,) = json.loads(run(*arguments, "--json", plugins=["stripes.py", "green_fraction.py"]))
    assert record["settings"]["targets"]["green_fraction"].startswith("1.")
    assert "green_fraction" in {*record["extra_metrics"]["targets"], *record["extra_metrics"]["constant"]}


@pytest.mark.slow
def test_a_loss_trains(run):
    arguments = ("pretrain", "--loss", "smooth-ce", "--data", "stripes", "--epochs", "2", "--warmup-epochs", "0")
    run(*arguments, "--batch", "20", "--name", "smooth", plugins=["stripes.py", "smooth_ce.py"])
    description = json.loads((run.folder / "ws" / "runs" / "smooth" / "run.json").read_text(encoding="utf-8"))
    assert description["source"] == "smooth-ce on stripes, 2 epochs from random:resnet10t"


@pytest.mark.slow
def test_a_study_and_its_report_have_the_entries(run):
    run("study", "run", "mine.toml", plugins=["stripes.py", "thumbnail.py", "centroid.py", "norms.py"])
    run("report")
    (page,) = (run.folder / "ws" / "reports").rglob("*.html")
    text = page.read_text(encoding="utf-8")
    assert "centroid" in text
    assert "norms" in text
    assert "thumbnail:4" in text


def test_the_variable_names_files_too(run):
    paths = os.pathsep.join(("stripes.py", "thumbnail.py"))
    listed = json.loads(run("datasets", "list", "--json", plugins=(), TRANSFERKIT_PLUGINS=paths))
    assert any(one["name"] == "stripes" for one in listed)


def test_an_installed_package_adds_entries(run):
    site = run.folder / "site"
    info = site / "my_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n", encoding="utf-8")
    entry = "[transferkit.encoders]\nmini-image = my_package:thumbnail\n"
    (info / "entry_points.txt").write_text(entry, encoding="utf-8")
    code = FILES["thumbnail.py"].replace('@ENCODERS.register("thumbnail")\n', "")
    (site / "my_package.py").write_text(code, encoding="utf-8")
    where = {"PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}
    assert "mini-image" in run("models", "list", plugins=(), **where)
    (record,) = json.loads(
        run("probe", "-m", "mini-image:4", "-d", "stripes", "--json", plugins=("stripes.py",), **where)
    )
    assert record["dim"] == 48
    (site / "my_package.py").write_text("import not_there\n", encoding="utf-8")
    error = run("models", "list", plugins=(), code=1, **where)
    assert error.startswith("Error: The entry 'mini-image' of the installed package my-package failed: ")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1\nraise RuntimeError('no weights')\n", "failed in line 2: RuntimeError: no weights"),
        ("def f(:\n", "failed in line 1: SyntaxError"),
        ("import not_there\n", "failed in line 1: ModuleNotFoundError: No module named 'not_there'"),
        (
            "from transferkit.probes import PROBES\n\nPROBES.register('knn')(object())\n",
            "failed in line 3: ValueError: There is already a protocol named 'knn': choose another name",
        ),
    ],
)
def test_a_plugin_that_fails_is_named_with_its_line(run, code, words):
    (run.folder / "faulty.py").write_text(code, encoding="utf-8")
    error = run("datasets", "list", plugins=["faulty.py"], code=1)
    assert error.startswith(f"Error: The plug-in {run.folder / 'faulty.py'} {words}")
    assert len(error.splitlines()) == 1


def test_settings_of_one_name_must_be_the_same(run):
    code = FILES["centroid.py"].replace("shrink: Fraction", "penalty: str").replace("shrink:", "penalty:")
    (run.folder / "clash.py").write_text(code.replace("= 0.0", '= "none"'), encoding="utf-8")
    error = run("probe", "--help", plugins=("clash.py",), code=1)
    assert error == (
        "Error: The protocols fewshot and centroid both have a setting penalty, with different types, defaults or "
        "descriptions. Rename one of them.\n"
    )
    (run.folder / "clash.py").write_text(FILES["centroid.py"].replace("shrink", "batch"), encoding="utf-8")
    assert run("probe", "--help", plugins=("clash.py",), code=1) == (
        "Error: The option --batch is defined twice, under the headings 'Options of --protocol centroid' and "
        "'Extraction'. Rename the setting of the plug-in.\n"
    )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing.py", "does not exist. Correct --plugin or $TRANSFERKIT_PLUGINS."),
        ("mine.toml", "is not a Python file such as my_probe.py. Rename it."),
    ],
)
def test_a_plugin_that_is_no_python_file_is_refused(run, path, words):
    assert f"The plug-in {run.folder / path} {words}" in run("models", "list", plugins=(path,), code=2)


def test_two_plugins_of_one_name_are_refused(run):
    (run.folder / "other").mkdir()
    (run.folder / "other" / "stripes.py").write_text("", encoding="utf-8")
    error = run("models", "list", plugins=("stripes.py", "other/stripes.py"), code=2)
    assert "Two plug-ins have the same name" in error
