"""Calls, imports and names that the code must not contain."""

import ast
import re
from pathlib import Path

import pytest

from tests.tree import ROOT, modules

EMPTY_NAMES = {"utils", "util", "helpers", "common", "misc", "base"}
PICKLING = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MAY_PRINT = {"transferkit.reports.progress"}

TEXTS = sorted(
    path
    for folder in ("transferkit", "cli", "tests", "docs", ".ci", ".")
    for path in (ROOT / folder).glob("*" if folder == "." else "**/*")
    if path.suffix in {".py", ".md", ".toml", ".html", ".css", ".js"} or path.name in {"Makefile", "run"}
)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def keyword(call: ast.Call, name: str) -> object:
    """The constant that ``call`` passes as ``name``, or None."""
    return next((k.value.value for k in call.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None)


def faults(source: str, *, may_print: bool = False) -> list[str]:
    """Return calls and imports that are forbidden in the library, each with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="print")) if not may_print:
                found.append(f"line {node.lineno}: print; results go to the caller, progress to a Reporter")
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load")):
                if keyword(node, "weights_only") is not True:
                    found.append(f"line {node.lineno}: torch.load without weights_only=True runs what it reads")
            case ast.Call() if keyword(node, "allow_pickle"):
                found.append(f"line {node.lineno}: allow_pickle runs what it reads")
            case ast.Import(names=names) if any(alias.name.split(".")[0] in PICKLING for alias in names):
                found.append(f"line {node.lineno}: pickles run what they read")
            case ast.ImportFrom(module=str(module), level=0) if module.split(".")[0] in PICKLING:
                found.append(f"line {node.lineno}: pickles run what they read")
    return found


@pytest.mark.parametrize("module", modules())
def test_names_say_something(module):
    assert not EMPTY_NAMES & set(module.split(".")), "name the idea: statistics, seeding, checks"


@pytest.mark.parametrize("module", modules())
def test_nothing_prints_or_unpickles(module):
    source = modules()[module].read_text(encoding="utf-8")
    assert not faults(source, may_print=module in MAY_PRINT or module.startswith("transferkit_cli"))


def test_no_path_of_one_machine():
    personal = re.compile(rf"(?<![\w.~/-])/({'|'.join(['work', 'home', 'root', 'Users'])})/")
    found = [named(path) for path in TEXTS if personal.search(path.read_text(encoding="utf-8"))]
    assert not found


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("def f():\n    print('x')", "line 2: print"),
        ("torch.load(path)", "torch.load"),
        ("torch.load(path, weights_only=False)", "torch.load"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("import pickle", "pickles"),
        ("from joblib import dump", "pickles"),
    ],
)
def test_the_rules_catch(source, complaint):
    (found,) = faults(source)
    assert complaint in found


def test_the_rules_leave_alone():
    assert not faults("torch.load(path, weights_only=True)\nconsole.print('x')\nfrom .pickle import x")
    assert not faults("print('x')", may_print=True)
