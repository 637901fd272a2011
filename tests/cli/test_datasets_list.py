"""``datasets list``, and groups of data sets in the options that filter records."""

import json
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from tests.datasets.trees import TREES
from transferkit.core.errors import UsageError
from transferkit.protocols.dataset_catalog import GROUPS
from transferkit_cli.main import cli
from transferkit_cli.session import canonical


def listed(folder, *arguments):
    command = ("datasets", "list", "--workspace", str(folder), *arguments)
    return CliRunner().invoke(cli, command, prog_name="transferkit")


@pytest.fixture
def folder(tmp_path):
    TREES["eurosat"](tmp_path / "data/eurosat")
    (tmp_path / "data/dtd/labels").mkdir(parents=True)
    return tmp_path


def test_list_shows_states_sizes_and_licences(folder):
    rows = {row["name"]: row for row in json.loads(listed(folder, "--json").stdout)}
    assert {name for members in GROUPS.values() for name in (*members,)} <= rows.keys()
    assert {name: rows[name]["state"] for name in ("eurosat", "dtd", "svhn", "mini/digits")} == {
        "eurosat": "ready",
        "dtd": "partial",
        "svhn": "absent",
        "mini/digits": "embedded",
    }
    assert rows["eurosat"]["licence"].startswith("MIT")
    assert rows["eurosat"]["size_bytes"] < 100_000
    assert (rows["cars"]["classes"], rows["cars"]["images"]) == (196, 16_185)


def test_each_set_fits_one_line_of_100_columns(folder, monkeypatch):
    monkeypatch.setattr("transferkit_cli.session.PIPE_WIDTH", 100)
    lines = listed(folder).stdout.splitlines()
    assert max(map(len, lines)) <= 100
    (line,) = [line for line in lines if line.split()[:1] == ["flowers102"]]
    assert re.match(r" flowers102 +natural +102 +8189 +absent +333\.8 MiB +none stated", line)
    for name in (*GROUPS["paper12"], *GROUPS["kornblith12"], "miniimagenet:PATH"):
        assert sum(line.split()[:1] == [name] for line in lines) == 1


def test_list_does_not_import_torch(folder):
    script = (
        "import sys; from click.testing import CliRunner; from transferkit_cli.main import cli; "
        f"done = CliRunner().invoke(cli, ['datasets', 'list', '--workspace', {str(folder)!r}]); "
        "assert done.exit_code == 0, done; assert not {'torch', 'scipy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("paper12", GROUPS["paper12"]),
        ("mini,eurosat", (*GROUPS["mini"], "eurosat")),
        ("kornblith12@shots=05", tuple(f"{name}@shots=5" for name in GROUPS["kornblith12"])),
        ("timm:resnet18,dtd:3", ("timm:resnet18", "dtd:3")),
        ("imagenet:/a/../b", ("imagenet:/b",)),
        ("miniimagenet:/a/../b#val", ("miniimagenet:/b#val",)),
        ("folder:/a/../b@limit=0.1", ("folder:/b@limit=0.1",)),
    ],
)
def test_groups_are_expanded_to_the_specs_of_records(given, meant):
    context = click.Context(click.Command("x"))
    assert canonical(context, click.Option(["--data"]), (given,)) == meant


def test_a_group_with_an_invalid_budget_is_rejected():
    context = click.Context(click.Command("x"))
    with pytest.raises(UsageError, match="@limit=x is not a budget"):
        canonical(context, click.Option(["--data"]), ("paper12@limit=x",))
