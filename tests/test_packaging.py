"""Content of the wheel, and a test that it works without the source tree."""

import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from tests.tree import PACKAGES, ROOT, modules

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy, so that it contains no file of an earlier build and leaves none behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for package in PACKAGES.values():
        copytree(package, source / package.name, ignore=ignore_patterns("__pycache__"))
    for path in ROOT.glob("*"):
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source, folder=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter that has the wheel, and sees the dependencies but no source tree."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    interpreter = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", interpreter)
    run(*pip, "install", "--no-deps", "--no-index", wheel, folder=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    dependencies = [folder for folder in sys.path if folder.endswith("-packages")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies))
    return interpreter


def test_every_package_has_an_init():
    for package in PACKAGES.values():
        for folder in {path.parent for path in package.rglob("*.py")}:
            assert (folder / "__init__.py").exists(), f"{folder} is not a package"


@pytest.mark.slow
def test_the_wheel_holds_every_file(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "transferkit/py.typed" in files
    assert files == {name for name in held if ".dist-info/" not in name}


@pytest.mark.slow
def test_the_wheel_holds_the_licence_and_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        text = {name.rpartition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
        assert b"The transferkit authors" in archive.read(text["licenses/LICENSE"])
        assert b"transferkit = transferkit_cli.main:main" in archive.read(text["entry_points.txt"])


@pytest.mark.slow
def test_it_runs_where_the_source_is_not(python, tmp_path):
    where = "import transferkit, transferkit_cli; print(transferkit.__file__, transferkit_cli.__file__)"
    assert str(ROOT) not in run(python, "-c", where, folder=tmp_path)
    version = run(python, "-c", "import transferkit; print(transferkit.__version__)", folder=tmp_path)
    assert version.strip() == PROJECT["project"]["version"]


@pytest.mark.slow
def test_every_module_can_be_imported_from_the_wheel(python, tmp_path):
    run(python, "-c", f"import {', '.join(modules())}", folder=tmp_path)


@pytest.mark.slow
def test_the_command_runs_where_the_source_is_not(python, tmp_path):
    for command in ((python.parent / "transferkit",), (python, "-m", "transferkit")):
        assert "Usage: transferkit" in run(*command, "--help", folder=tmp_path)
    assert not list(tmp_path.iterdir()), "help leaves nothing behind"
