"""Tables of commands at the width of a narrow terminal."""

from click.testing import CliRunner

from tests.cache.filling import filled
from tests.terminal import printed
from transferkit_cli import session
from transferkit_cli.extract import _table
from transferkit_cli.main import cli

BIRDS = "folder:/data/projects/wildlife/datasets/birds/train"


def row(split: str, images: int) -> dict[str, object]:
    return {
        "model": "imagenet-lite0",
        "data": BIRDS,
        "split": split,
        "images": images,
        "unreadable": 0,
        "layers": {"blocks.6": 320, "last": 1280},
        "entry": "0123456789abcdef",
        "to do": f"{images} images, 1.5 MiB of features",
    }


def test_an_estimate_fits_80_columns():
    assert printed(_table([row("train", 1200), row("test", 300)], "to do"), width=80) == (
        "model           data     split  images  to do\n"
        "────────────────────────────────────────────────────────────────────────\n"
        "imagenet-lite0  …/train  train    1200  1200 images, 1.5 MiB of features\n"
        "imagenet-lite0  …/train  test      300  300 images, 1.5 MiB of features\n"
        "\n"
        "0 unreadable · layers: blocks.6 320, last 1280\n"
        f"…/train = {BIRDS}\n"
    )


def test_entries_fit_80_columns_and_none_are_no_table(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "PIPE_WIDTH", 80)
    entry = filled(tmp_path / "features", ["stem"])
    listed = CliRunner().invoke(cli, ["cache", "list", "--workspace", str(tmp_path)]).stdout
    heading, rule, line = listed.splitlines()
    assert heading.split() == ["entry", "model", "data", "split", "rows", "layers", "size"]
    assert line.split()[:4] == [entry.key.digest[:12], entry.key.model, entry.key.data, entry.key.split]
    assert max(map(len, (heading, rule, line))) <= 80
    empty = CliRunner().invoke(cli, ["cache", "list", "--workspace", str(tmp_path / "none")]).stdout
    assert empty == "No entry matches.\n"
