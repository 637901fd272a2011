import importlib
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as runner


def test_every_table_is_listed():
    files = {path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("__", "test_"))}
    assert files - {"comparisons", "coverage", "timing"} == set(runner.TABLES + runner.LONG)


def test_every_table_has_a_main():
    for name in runner.TABLES + runner.LONG:
        assert callable(importlib.import_module(f"tests.benchmarks.{name}").main)


def test_an_unknown_table_is_answered_with_those_there_are():
    with pytest.raises(SystemExit, match=r"^No table named abacus\. Choose from: "):
        runner.main(["abacus"])
