"""Every line of Python on the page about it runs, in order, and prints what the page says."""

import re

import pytest

from tests.tree import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def promised(block):
    """The lines that ``block`` ends with as comments: what it prints."""
    return [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]


@pytest.mark.slow
def test_the_page_runs_and_prints_what_it_says(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the workspace of its records
    names = {}
    assert len(BLOCKS) >= 6
    for block in BLOCKS:
        exec(compile(block, "python.md", "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        assert printed == promised(block)
        assert printed, block
