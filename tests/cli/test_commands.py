"""Properties of all commands: help, examples, streams, exit codes."""

import inspect
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from tests.cache.filling import READ, filled
from transferkit_cli.main import COMMANDS, cli


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield each command with the words that follow ``transferkit`` on the command line."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands())
LEAVES = {name: command for name, command in ALL.items() if not isinstance(command, click.Group)}


def invoke(*arguments: str) -> click.testing.Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="transferkit")


def example(command: click.Command) -> str:
    text = inspect.getdoc(command.callback) or ""
    text = re.sub(r" \\\n +", " ", text.replace("\b\n", ""))  # an example of several lines
    found = re.search(r"Example:\n  (transferkit .+)$", text, flags=re.MULTILINE)
    assert found, f"{command.name} has no example at the end of its help"
    return found[1]


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_help_with_an_example(name):
    command = ALL[name]
    assert example(command).startswith(f"transferkit {name}")
    assert command.callback is not None
    first = (inspect.getdoc(command.callback) or "").split("\n\n")[0]
    assert first.endswith("."), first


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_help_that_is_a_sentence(name):
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"
            assert re.search(r"\.(  \[default: .*\])?$", parameter.help), parameter.help


@pytest.mark.parametrize("name", ALL)
def test_help_fits_80_columns(name):
    lines = invoke(*name.split(), "--help").stdout.splitlines()
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_has_the_common_options(name):
    options = {parameter.name for parameter in LEAVES[name].params}
    assert {"as_json", "quiet", "workspace"} <= options


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_example_runs_in_an_empty_folder(tmp_path, monkeypatch):
    """The examples run in sequence in one folder, without demo and pretrain, which take minutes."""
    monkeypatch.chdir(tmp_path)
    first = ["extract", "probe", "models export", "models import"]
    rest = [name for name in LEAVES if name not in ("demo", "pretrain", *first)]
    order = [
        *first,
        *sorted(rest, key=lambda name: name.startswith("analyze")),
    ]  # which fill the cache further
    for name in order:
        line = example(LEAVES[name])
        if name == "datasets prepare":
            line = line.replace(" dtd", " mini/digits")  # without a download
        result = invoke(*shlex.split(line)[1:])
        assert result.exit_code == 0, (name, result.output)
        assert result.stdout.strip(), name


def test_help_is_fast_because_it_does_not_import_torch():
    script = (
        "import sys; from transferkit_cli.main import cli\n"
        "try: cli(['--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules, sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", done.stdout, flags=re.MULTILINE)


@pytest.mark.parametrize("name", ALL)
def test_help_of_a_command_does_not_import_torch(name):
    script = (
        f"import sys; from transferkit_cli.main import cli\n"
        f"try: cli({[*name.split(), '--help']!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prob"], "Did you mean 'probe'?"),
        (["probe", "--model", "imagenet-lite9"], "Did you mean 'imagenet-lite2'?"),
        (["probe", "--data", "mini/digit"], "Did you mean 'mini/digits'?"),
        (["probe", "--protocol", "liner"], "Did you mean 'linear'?"),
        (["probe", "--protocol", "linear", "--metric", "cosine"], "belongs to knn"),
        (["probe", "--protocol", "linear", "--shots", "5"], "belongs to fewshot"),
        (["probe", "--protocol", "fewshot", "--shots", "0"], "0 is too small"),
        (["probe", "--protocol", "knn", "--k", "five"], "five is not a list of integers"),
        (["probe", "--protocol", "knn", "--temperature", "0.1,warm"], "0.1,warm is not a list of numbers"),
        (["pretrain", "--jitter", "0.4,0.4"], "--jitter 0.4,0.4 is invalid: give 4 values."),
        (["extract", "--dtype", "int8", "--model", "pixels"], "float16, float32"),
        (["extract", "--device", "warp", "--model", "pixels", "--data", "mini/digits"], "--device warp"),
        (["results", "export", "--output", "table.xls"], ".csv"),
    ],
)
def test_a_wrong_argument_gets_one_helpful_line_and_exit_code_2(tmp_path, arguments, words):
    result = invoke(*arguments, *([] if arguments == ["prob"] else ["--workspace", str(tmp_path / "w")]))
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_an_expected_failure_is_one_line_and_exit_code_1(tmp_path):
    (tmp_path / "photos").mkdir()
    result = invoke("probe", "--data", f"folder:{tmp_path / 'photos'}", "--workspace", str(tmp_path / "w"))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_stdout_is_only_the_result(tmp_path):
    arguments = [
        "probe",
        "--model",
        "pixels",
        "--data",
        "mini/digits",
        "--workspace",
        str(tmp_path),
        "--json",
    ]
    first, again, forced = invoke(*arguments), invoke(*arguments), invoke(*arguments, "--force")
    records = json.loads(first.stdout)
    assert [record["protocol"] for record in records] == ["linear"]
    assert json.loads(again.stdout) == records  # the kept record, seconds and all
    assert json.loads(forced.stdout)[0]["value"] == records[0]["value"]
    assert json.loads(forced.stdout)[0]["seconds"] != records[0]["seconds"]
    assert records[0]["selected_on"] != records[0]["evaluated_on"]


@pytest.mark.slow
def test_options_with_several_values_are_combined(tmp_path):
    result = invoke(
        *["probe", "--model", "pixels", "--data", "mini/digits,mini/glyphs", "--protocol", "linear,fewshot"],
        *["--shots", "1,5", "--episodes", "20", "--workspace", str(tmp_path), "--json"],
    )
    assert result.exit_code == 0, result.output
    found = [(r["data"], r["protocol"], r["settings"].get("shots")) for r in json.loads(result.stdout)]
    assert found == [
        (data, protocol, shots)
        for data in ("mini/digits", "mini/glyphs")
        for protocol, shots in (("linear", None), ("fewshot", 1), ("fewshot", 5))
    ]
    rows = {r["settings"]["min_rows_per_class"] for r in json.loads(result.stdout) if r["protocol"] == "fewshot"}
    assert rows == {20}, "of the same classes at both"


@pytest.mark.parametrize(
    ("options", "min_rows_per_class"),
    [((), [20, 20]), (("--min-rows-per-class", "30"), [30, 30]), (("--min-rows-per-class", "0"), [0, 0])],
)
def test_several_shots_share_their_classes_by_default(options, min_rows_per_class, tmp_path):
    asked = ["--model", "pixels", "--data", "mini/digits", "--protocol", "fewshot", "--method", "nn"]
    drawn = ["--shots", "1,5", *options, "--episodes", "3", "--workspace", str(tmp_path), "--json"]
    result = invoke("probe", *asked, *drawn)
    assert result.exit_code == 0, result.output
    assert [record["settings"]["min_rows_per_class"] for record in json.loads(result.stdout)] == min_rows_per_class


@pytest.mark.slow
def test_cache_verify_lists_damaged_files(tmp_path):
    workspace = ["--workspace", str(tmp_path)]
    assert invoke("extract", "--model", "pixels", "--data", "mini/digits", *workspace).exit_code == 0
    assert invoke("cache", "verify", *workspace).exit_code == 0
    shard = next((tmp_path / "features").rglob("*.h5"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    result = invoke("cache", "verify", *workspace)
    assert result.exit_code == 1
    assert shard.name in result.stdout.replace("\n", "")  # wherever the line is folded


@pytest.mark.slow
def test_cache_export_writes_the_arrays(tmp_path):
    import numpy as np

    workspace = ["--workspace", str(tmp_path / "w")]
    chosen = ["--model", "pixels", "--data", "mini/digits", "--split", "train", "--layers", "last"]
    assert invoke("extract", "--model", "pixels", "--data", "mini/digits", *workspace).exit_code == 0
    result = invoke("cache", "export", *chosen, "--output", str(tmp_path / "f.npz"), *workspace)
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "f.npz") as arrays:
        assert set(arrays.files) == {"x", "labels", "ids"}
        assert arrays["x"].shape == (len(arrays["labels"]), 3072)
        assert f"{len(arrays['ids'])} rows of last written to {tmp_path / 'f.npz'}\n" == result.stdout


def test_cache_export_tells_how_many_unreadable_images_are_left_out(tmp_path):
    rows = int(READ.sum())
    entry = filled(tmp_path / "w/features", ["stem"])
    chosen = ["--entry", entry.key.digest[:12], "--layers", "stem", "--output", str(tmp_path / "f.npz")]
    result = invoke("cache", "export", *chosen, "--workspace", str(tmp_path / "w"))
    left_out = len(READ) - rows
    assert left_out == 2
    assert result.stdout == f"{rows} rows of stem written to {tmp_path / 'f.npz'}; 2 unreadable images left out\n"


def test_a_tuple_of_numbers_keeps_repeats_and_a_list_of_values_drops_them():
    def parsed(name, option, text):
        return LEAVES[name].make_context(name, [option, text], resilient_parsing=False).params[option[2:]]

    assert parsed("pretrain", "--jitter", "0.4,0.4,0.4,0.1") == (0.4, 0.4, 0.4, 0.1)
    assert parsed("probe", "--temperature", "0.1,0.1,0.07") == (0.1, 0.07)
