"""The budgets that keep the code readable, and the few calls that have no place in it.

Lengths leave the docstring out. The budget lies on the tail: the longest function matters more than the mean.
"""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from tests.tree import PACKAGES, ROOT, functions, modules

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
LONGEST_FUNCTION_P90 = 30
MOST_PARAMETERS = 6
EMPTY_NAMES = {"utils", "util", "helpers", "common", "misc", "base"}
PICKLING = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MAY_PRINT = {"transferkit.core.progress"}

SOURCES = [*modules().values(), *sorted((ROOT / "docs").glob("*.py"))]
TEXTS = sorted(
    path
    for folder in ("transferkit", "cli", "tests", "docs", ".ci", ".")
    for path in (ROOT / folder).glob("*" if folder == "." else "**/*")
    if path.suffix in {".py", ".md", ".toml", ".html", ".css", ".js"} or path.name in {"Makefile", "run"}
)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of parameters without ``self`` and ``cls``."""
    arguments = function.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


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


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_sizes(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST_FILE, "split the file: one file is one concept"
    for function in functions(ast.parse(source)):
        where = f"{named(path)}:{function.lineno} {function.name}"
        assert length(function) <= LONGEST_FUNCTION, f"{where} has {length(function)} lines"
        if PACKAGES["transferkit_cli"] not in path.parents:  # a command has a parameter an option
            assert parameters(function) <= MOST_PARAMETERS, f"{where} is due a dataclass"


def test_nine_functions_in_ten_are_short():
    lengths = [length(f) for path in SOURCES for f in functions(ast.parse(path.read_text(encoding="utf-8")))]
    assert np.quantile(lengths, 0.9) <= LONGEST_FUNCTION_P90


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


def test_lengths_leave_the_docstring_out():
    (function,) = functions(
        ast.parse('def f(self, a, /, b, *c, d=1, **e):\n    """One.\n\n    Two.\n    """\n    g()\n')
    )
    assert (length(function), parameters(function)) == (2, 3)
