"""Imports point down: cli, then studies and reports, then protocols, rooms, core. Never sideways, never up.

Anything that needs two rooms is a protocol.
"""

import ast
import subprocess
import sys

import pytest

from tests.tree import PACKAGES, modules

FLOORS = {
    "transferkit": 0,  # the package itself: its version
    "transferkit.core": 1,
    "transferkit.data": 2,
    "transferkit.models": 2,
    "transferkit.losses": 2,
    "transferkit.cache": 2,
    "transferkit.probes": 2,
    "transferkit.semantics": 2,
    "transferkit.analysis": 2,
    "transferkit.detection": 2,
    "transferkit.protocols": 3,
    "transferkit.reports": 4,
    "transferkit.studies": 4,
    "transferkit_cli": 5,
}


def room_of(module: str) -> str:
    """The longest entry of the table that ``module`` lies in."""
    parts = module.split(".")
    return next(name for size in (2, 1) if (name := ".".join(parts[:size])) in FLOORS)


def imported_modules(source: str, module: str, *, is_package: bool) -> set[str]:
    """Full dotted names of all that ``source`` imports, at its top or inside functions.

    ``from a import b`` counts as ``a.b``: module or not, it lies in the same room.
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


def trespasses(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What ``module`` imports and may not: another room of its own floor, or one above."""
    here = room_of(module)
    ours = {
        name
        for name in imported_modules(source, module, is_package=is_package)
        if name.split(".")[0] in ("transferkit", "transferkit_cli")
    }
    return sorted(name for name in ours if room_of(name) != here and FLOORS[room_of(name)] >= FLOORS[here])


def test_the_front_door_loads_nothing_before_it_is_used():
    """The package itself names what the floors above offer, and anyone may ask it for its version."""
    script = "import sys, transferkit; assert not {m for m in sys.modules if m.startswith('transferkit.')}"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("module", sorted(modules().keys() - {"transferkit"}))
def test_imports_point_down(module):
    path = modules()[module]
    found = trespasses(path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py")
    assert not found, f"{module} may not import {', '.join(found)}: what needs two rooms is a protocol"


def test_every_room_stands_in_the_table():
    rooms = {f"transferkit.{path.parent.name}" for path in PACKAGES["transferkit"].glob("*/*.py")}
    assert rooms <= FLOORS.keys(), "give the new room a floor"


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("transferkit.probes.knn", "from ..cache.store import Store", ["transferkit.cache.store.Store"]),
        ("transferkit.probes.knn", "from ..cache import store", ["transferkit.cache.store"]),
        ("transferkit.probes.knn", "from .. import cache", ["transferkit.cache"]),
        ("transferkit.probes.knn", "import transferkit.cache.store", ["transferkit.cache.store"]),
        ("transferkit.probes.knn", "def f():\n    from ..data import folder", ["transferkit.data.folder"]),
        ("transferkit.data.mini.draw", "from ...models import tiny", ["transferkit.models.tiny"]),
        ("transferkit.core.files", "from ..data import dataset", ["transferkit.data.dataset"]),
        ("transferkit.protocols.extract", "from ..studies import grid", ["transferkit.studies.grid"]),
        ("transferkit.studies.grid", "from ..reports import page", ["transferkit.reports.page"]),
        ("transferkit.reports.page", "from transferkit_cli.main import cli", ["transferkit_cli.main.cli"]),
        ("transferkit.probes.knn", "from ..core.features import Features", []),
        ("transferkit.probes.knn", "from .probe import Probe", []),
        ("transferkit.data.mini.draw", "from ..dataset import Dataset", []),
        ("transferkit.protocols.extract", "from .. import __version__\nfrom ..cache import store", []),
        ("transferkit.probes.knn", "import torch\nfrom sklearn import cluster", []),
        ("transferkit_cli.probe", "from transferkit.protocols import evaluate\nfrom .show import table", []),
    ],
)
def test_the_rule_itself(module, source, found):
    assert trespasses(source, module) == found


def test_relative_imports_of_a_package_start_at_the_package():
    assert trespasses("from ..cache import store", "transferkit.probes", is_package=True) == ["transferkit.cache.store"]
    assert trespasses("from . import knn", "transferkit.probes", is_package=True) == []
