"""Imports point down: cli, then studies and reports, then protocols, packages, core. Never sideways, never up.

Code that needs two packages of one level is a protocol.
"""

import ast
import subprocess
import sys

import pytest

from tests.tree import PACKAGES, modules

LEVELS = {
    "transferkit": 0,  # the package itself: its version
    "transferkit.core": 1,
    "transferkit.download": 2,
    "transferkit.models": 2,
    "transferkit.losses": 2,
    "transferkit.cache": 2,
    "transferkit.probes": 2,
    "transferkit.semantics": 2,
    "transferkit.analysis": 2,
    "transferkit.data": 3,
    "transferkit.datasets": 4,
    "transferkit.mini": 4,
    "transferkit.training": 4,
    "transferkit.detection": 4,
    "transferkit.protocols": 5,
    "transferkit.reports": 6,
    "transferkit.studies": 6,
    "transferkit.api": 7,
    "transferkit_cli": 7,
    "transferkit.__main__": 8,
}


DRAWS = {"transferkit.reports", "transferkit_cli"}
"""Packages that may import rich; all others return values or plain text."""


def package_of(module: str) -> str:
    """The longest entry of the table that contains ``module``."""
    parts = module.split(".")
    return next(name for size in (2, 1) if (name := ".".join(parts[:size])) in LEVELS)


def imported_modules(source: str, module: str, *, is_package: bool) -> set[str]:
    """Return the full dotted names that ``source`` imports, at its top or inside functions.

    ``from a import b`` counts as ``a.b``: it belongs to the same package whether or not it is a module.
    """
    found: set[str] = set()
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{origin}.{alias.name}" for alias in node.names}
    return found


def forbidden_imports(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Return what ``module`` imports from another package of its own level, or from a higher one."""
    here = package_of(module)
    ours = {
        name
        for name in imported_modules(source, module, is_package=is_package)
        if name.split(".")[0] in ("transferkit", "transferkit_cli")
    }
    return sorted(name for name in ours if package_of(name) != here and LEVELS[package_of(name)] >= LEVELS[here])


def imports_rich_elsewhere(source: str, module: str) -> bool:
    """Return whether ``module`` imports rich, although only the command line and the reports draw in the terminal."""
    imported = imported_modules(source, module, is_package=False)
    return package_of(module) not in DRAWS and any(name.split(".")[0] == "rich" for name in imported)


def test_importing_the_package_loads_no_module():
    """The package names functions of higher levels, which are imported when they are used."""
    script = "import sys, transferkit; assert not {m for m in sys.modules if m.startswith('transferkit.')}"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("module", sorted(modules().keys() - {"transferkit"}))
def test_imports_point_down(module):
    path = modules()[module]
    found = forbidden_imports(path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py")
    assert not found, f"{module} may not import {', '.join(found)}: code that needs two packages is a protocol"


@pytest.mark.parametrize("module", sorted(modules()))
def test_only_the_command_line_and_reports_import_rich(module):
    source = modules()[module].read_text(encoding="utf-8")
    assert not imports_rich_elsewhere(source, module), f"{module} may not import rich: tables are drawn by reports"


def test_every_package_has_a_level():
    packages = {f"transferkit.{path.parent.name}" for path in PACKAGES["transferkit"].glob("*/*.py")}
    assert packages <= LEVELS.keys(), "give the new package a level"


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("transferkit.probes.knn", "from ..cache.store import Store", ["transferkit.cache.store.Store"]),
        ("transferkit.probes.knn", "from ..cache import store", ["transferkit.cache.store"]),
        ("transferkit.probes.knn", "from .. import cache", ["transferkit.cache"]),
        ("transferkit.probes.knn", "import transferkit.cache.store", ["transferkit.cache.store"]),
        ("transferkit.probes.knn", "def f():\n    from ..data import folder", ["transferkit.data.folder"]),
        ("transferkit.mini.draw", "from ..datasets import dtd", ["transferkit.datasets.dtd"]),
        ("transferkit.core.files", "from ..data import dataset", ["transferkit.data.dataset"]),
        ("transferkit.protocols.extract", "from ..studies import grid", ["transferkit.studies.grid"]),
        ("transferkit.studies.grid", "from ..reports import page", ["transferkit.reports.page"]),
        ("transferkit.reports.page", "from transferkit_cli.main import cli", ["transferkit_cli.main.cli"]),
        ("transferkit.probes.knn", "from ..core.features import Features", []),
        ("transferkit.probes.knn", "from .probe import Probe", []),
        ("transferkit.mini.draw", "from ..data.dataset import Dataset", []),
        ("transferkit.protocols.extract", "from .. import __version__\nfrom ..cache import store", []),
        ("transferkit.probes.knn", "import torch\nfrom sklearn import cluster", []),
        ("transferkit_cli.probe", "from transferkit.protocols import evaluate\nfrom .show import table", []),
    ],
)
def test_the_rule_itself(module, source, found):
    assert forbidden_imports(source, module) == found


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("transferkit.core.results", "from rich.console import Console", True),
        ("transferkit.studies.state", "def f():\n    import rich.text", True),
        ("transferkit.api", "import rich", True),
        ("transferkit.reports.rendering", "from rich.text import Text", False),
        ("transferkit_cli.study", "from rich import box", False),
        ("transferkit.core.results", "from .rich import Text\nimport richer", False),
    ],
)
def test_the_rule_about_rich(module, source, found):
    assert imports_rich_elsewhere(source, module) == found


def test_relative_imports_of_a_package_start_at_the_package():
    assert forbidden_imports("from ..cache import store", "transferkit.probes", is_package=True) == [
        "transferkit.cache.store"
    ]
    assert forbidden_imports("from . import knn", "transferkit.probes", is_package=True) == []
