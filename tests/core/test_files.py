import errno
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.core.errors import DiskSpaceError
from transferkit.core.files import (
    atomic_path,
    digest_file,
    digest_of,
    readable_bytes,
    require_space,
    sorted_json,
    write_json,
    writing_to,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_file_appears_only_when_the_block_has_ended(tmp_path):
    path = tmp_path / "new" / "folder" / "shard.h5"
    with atomic_path(path) as part:
        part.write_bytes(b"all of it")
        assert part.parent == path.parent
        assert not path.exists()
    assert path.read_bytes() == b"all of it"
    assert list(path.parent.iterdir()) == [path]


def test_the_old_content_stays_until_the_new_is_complete(tmp_path):
    path = tmp_path / "entry.json"
    path.write_text("old")
    with atomic_path(path) as part:
        part.write_text("ne")
        assert path.read_text() == "old"
        part.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_crash_inside_leaves_nothing_and_changes_nothing(tmp_path, error):
    def crash(path):
        with atomic_path(path) as part:
            part.write_text("half")
            raise error

    kept, never = tmp_path / "kept", tmp_path / "never"
    kept.write_text("old")
    for path in (kept, never):
        with pytest.raises(error):
            crash(path)
    assert kept.read_text() == "old"
    assert list(tmp_path.iterdir()) == [kept]


def test_a_killed_process_changes_nothing(tmp_path):
    path = tmp_path / "kept.json"
    path.write_text("old")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from transferkit.core.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as part:\n"
        "    part.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, path], check=False)
    assert killed.returncode == -9
    assert path.read_text() == "old"
    assert list(tmp_path.glob("*.json")) == [path], "what was left behind is not taken for a record"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_gives_an_error_with_a_remedy(tmp_path):
    path = tmp_path / "shard.h5"
    with pytest.raises(DiskSpaceError) as caught, writing_to(path), Path("/dev/full").open("wb", 0) as full:
        full.write(b"x")
    assert str(caught.value) == (
        f"The disk is full: {path} could not be written. Finished work is kept; "
        "free some space and run the same command again."
    )


def test_a_file_beyond_the_limit_is_a_full_disk_and_leaves_nothing(tmp_path):
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from transferkit.core.files import write_json\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "write_json(Path(sys.argv[1]), 'x' * 1000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.json"], check=False, capture_output=True, text=True
    )
    assert "DiskSpaceError: The disk is full" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("place", "reason"), [("folder", "Is a directory"), ("file/entry.json", "File exists")])
def test_an_unwritable_path_gives_an_error_with_a_remedy(tmp_path, monkeypatch, place, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    for path in (Path(place), tmp_path / place):
        with pytest.raises(DiskSpaceError, match=rf"{path} cannot be written \({reason}\)\. Choose another"):
            write_json(path, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(not Path("/sys/kernel").exists(), reason="needs a folder nobody may write to")
def test_a_read_only_folder_gives_an_error_with_a_remedy():
    path = Path("/sys/kernel/transferkit/entry.json")
    with pytest.raises(DiskSpaceError) as caught:
        write_json(path, {})
    assert str(caught.value).startswith(f"{path} cannot be written (")
    assert str(caught.value).endswith("). Choose another path for it, or another folder with --workspace.")


def test_other_system_errors_are_not_converted(tmp_path):
    with pytest.raises(OSError, match="name too long") as caught, writing_to(tmp_path / ("a" * 300)):
        (tmp_path / ("a" * 300)).write_text("")
    assert caught.value.errno == errno.ENAMETOOLONG


def test_written_files_are_readable_by_other_users(tmp_path):
    with atomic_path(tmp_path / "a"):
        pass
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@given(PLAIN)
def test_json_reads_back(value):
    assert json.loads(sorted_json(value)) == value


def test_equal_values_have_the_same_json():
    assert sorted_json({"b": (1, 2), "a": "é"}) == sorted_json({"a": "é", "b": [1, 2]})
    assert sorted_json({"b": 1, "a": "é"}) == '{\n  "a": "é",\n  "b": 1\n}\n'


def test_json_rejects_nan(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"value": 0.5})
    with pytest.raises(ValueError, match="nan"):
        write_json(path, {"value": float("nan")})
    assert json.loads(path.read_text()) == {"value": 0.5}
    assert list(tmp_path.iterdir()) == [path]


def test_digests_are_pinned():
    assert digest_of({"b": [1, 2.5], "a": "é"}) == ("273a6a26142cbc4c9ba4d6f478247e8e201e78b22264a01269ed074c4da1b058")


@given(PLAIN, PLAIN)
def test_digests_differ_if_the_json_differs(one, other):
    assert (digest_of(one) == digest_of(other)) == (sorted_json(one) == sorted_json(other))


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert digest_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_space_is_measured_where_the_folder_will_be(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    require_space(tmp_path / "not" / "there" / "yet", free // 2)
    require_space(Path("relative/and/absent"), 1)


@pytest.mark.skipif(not Path("/dev/shm").exists(), reason="needs a second disk")
def test_space_is_measured_on_the_disk_of_the_folder():
    with pytest.raises(DiskSpaceError):
        require_space(Path("/dev/shm/not/there/yet"), shutil.disk_usage("/dev/shm").total + 1)


def test_too_little_space_is_rejected_with_both_sizes(tmp_path):
    with pytest.raises(DiskSpaceError) as caught:
        require_space(tmp_path / "features", 2**60)
    assert str(caught.value).startswith(f"{tmp_path / 'features'} needs 1048576.0 TiB, but only ")
    assert str(caught.value).endswith(
        "are free there. Free some space, choose fewer layers, or name another --workspace."
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 * 1024**2, "5.0 MiB"),
        (2.5 * 1024**3, "2.5 GiB"),
        (3 * 1024**4, "3.0 TiB"),
        (5000 * 1024**4, "5000.0 TiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_sizes_have_suitable_units(count, text):
    assert readable_bytes(count) == text
