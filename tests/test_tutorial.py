"""Every command and every line of Python in the tutorial runs, in order, in an empty folder."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import skimage
from click.testing import CliRunner
from PIL import Image

from tests.tree import ROOT
from transferkit_cli.main import cli

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def photographs(folder: Path) -> None:
    """Two classes of patches of real photographs, with a file that is none."""
    source = Path(skimage.__file__).parent / "data"
    rng = np.random.default_rng(0)
    for name in ("chelsea", "coffee"):
        image = Image.open(source / f"{name}.png").convert("RGB")
        (folder / name).mkdir(parents=True)
        for number in range(20):
            left, top = rng.integers(0, image.width - 96), rng.integers(0, image.height - 96)
            patch = image.crop((int(left), int(top), int(left) + 96, int(top) + 96))
            patch.save(folder / name / f"{number:02}.jpg")
    (folder / "coffee" / "broken.jpg").write_bytes(b"not a photograph")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torchvision")
def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photographs(tmp_path / "photos")
    assert {language for language, _ in BLOCKS} == {"bash", "python"}
    names: dict[str, object] = {}
    for language, text in BLOCKS:
        if language == "python":
            capsys.readouterr()
            exec(compile(text, "tutorial.md", "exec"), names)
            assert "(40, 512)" in capsys.readouterr().out
            continue
        for line in text.strip().splitlines():
            program, *arguments = shlex.split(line)
            assert program == "transferkit"
            result = CliRunner().invoke(cli, arguments)
            assert result.exit_code == 0, (line, result.output)
            assert result.stdout.strip(), line
    assert (tmp_path / "features.npz").exists()
    assert (tmp_path / "results.csv").exists()
