import io
import stat
import tarfile
import zipfile
from types import SimpleNamespace

import pytest

from transferkit.core.errors import DataError, DiskSpaceError
from transferkit.download import extract_archive
from transferkit.download.extract_archive import ArchiveLimits, Unpacked, is_archive, stem, unpack


def zipped(path, entries):
    """A zip of name → content; an entry may be a ZipInfo."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def tarred(path, entries, mode="w"):
    """A tar of name → content; an entry may be a TarInfo."""
    with tarfile.open(path, mode) as archive:
        for entry, content in entries:
            info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def packed(folder, kind, entries):
    if kind == "zip":
        return zipped(folder / "a.zip", entries)
    return tarred(folder / f"a.{kind}", entries, {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz"}.get(kind, "w:xz"))


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out" / "set"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def safe(tmp_path, out):
    """Check after the test that there are only the archives and files below ``out``, and no link."""
    yield
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(out)]
    assert all(path.parent == tmp_path and path.name.startswith("a.") for path in outside), outside
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tgz", "tar.xz"])
def test_files_and_folders(tmp_path, out, kind, notes):
    content = {"x/1.jpg": b"one", "x/y/2.jpg": b"two" * 9999, "käse/猫 3.jpg": b"", "./r.txt": b"r"}
    archive = packed(tmp_path, kind, content.items())
    unpack(archive, Unpacked(out), into="in/here", reporter=notes)
    assert tree(out) == {f"in/here/{name.removeprefix('./')}": data for name, data in content.items()}
    assert notes.tasks == [(f"Unpacking {archive.name}", 1, "MB")]
    assert archive.exists()


def test_archives_in_archives_become_folders(tmp_path, out):
    inner = tarred(tmp_path / "a.in", [("1.jpg", b"1")]).read_bytes()
    middle = zipped(tmp_path / "a.mid", [("n01.tar", inner), ("n02.tar", inner)]).read_bytes()
    outer = tarred(tmp_path / "a.tgz", [("part/train.zip", middle), ("broken.zip", b"no zip")], "w:gz")
    done = Unpacked(out)
    unpack(outer, done)
    assert tree(out) == {
        "part/train/n01/1.jpg": b"1",
        "part/train/n02/1.jpg": b"1",
        "broken.zip": b"no zip",
    }
    assert set(done.files.values()) == set(tree(out))


@pytest.mark.usefixtures("safe")
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize(
    "name", ["../evil", "x/../../evil", "/evil", "..\\..\\evil", "C:\\evil", "C:evil", "x/..", "\\evil"]
)
def test_nothing_is_written_outside(tmp_path, out, kind, name):
    with pytest.raises(DataError, match=r"which is outside of its folder. If you trust it, unpack it by hand"):
        unpack(packed(tmp_path, kind, [("fine.jpg", b"1"), (name, b"evil")]), Unpacked(out), into="deep/er")


@pytest.mark.usefixtures("safe")
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["../../evil", "/etc/passwd", "nowhere", "folder"])
def test_links_that_lead_elsewhere_are_refused(tmp_path, out, kind, target):
    entries = [("folder/1.jpg", b"1"), (special("link", kind, target), b""), ("link/evil", b"evil")]
    with pytest.raises(DataError, match=r"outside of its folder|a link to .* which is not a file of the archive"):
        unpack(tarred(tmp_path / "a.tar", entries), Unpacked(out))


@pytest.mark.usefixtures("safe")
def test_links_of_a_zip_are_links_too(tmp_path, out):
    good = zipped(tmp_path / "a.zip", [("x/1.jpg", b"1"), (zip_link("y/2.jpg"), "../x/1.jpg")])
    unpack(good, Unpacked(out))
    assert tree(out) == {"x/1.jpg": b"1", "y/2.jpg": b"1"}
    bad = zipped(tmp_path / "a.2.zip", [(zip_link("z"), "../../../etc/passwd")])
    with pytest.raises(DataError, match=r"outside"):
        unpack(bad, Unpacked(out))


@pytest.mark.usefixtures("safe")
def test_links_within_become_files(tmp_path, out):
    entries = [
        (special("b/soft.jpg", tarfile.SYMTYPE, "../a/1.jpg"), b""),
        ("a/1.jpg", b"1"),
        (special("hard.jpg", tarfile.LNKTYPE, "a/1.jpg"), b""),
    ]
    unpack(tarred(tmp_path / "a.tar", entries), Unpacked(out), into="in")
    assert tree(out) == dict.fromkeys(["in/a/1.jpg", "in/b/soft.jpg", "in/hard.jpg"], b"1")


@pytest.mark.usefixtures("safe")
@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path, out, kind):
    with pytest.raises(DataError, match=r"'dev', which is neither a file nor a folder"):
        unpack(tarred(tmp_path / "a.tar", [(special("dev", kind), b"")]), Unpacked(out))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bombs_are_stopped_early(tmp_path, out, kind, monkeypatch):
    archive = packed(tmp_path, kind, [("bomb", bytes(4_000_000))])
    monkeypatch.setattr(extract_archive, "_FLOOR_BYTES", 100_000)
    monkeypatch.setattr(extract_archive, "_BLOCK", 10_000)
    done = Unpacked(out, ArchiveLimits(ratio=10))
    with pytest.raises(DataError, match=r"contains more than 97.7 KiB, the limit for an archive"):
        unpack(archive, done)
    assert done.bytes <= 110_000
    with pytest.raises(DataError, match=r"contains more than 1000 B"):
        unpack(packed(tmp_path, kind, [("other", bytes(4000))]), Unpacked(out, ArchiveLimits(bytes=1000)))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_remarks_that_would_fill_the_memory_are_not_read(tmp_path, out, kind):
    """A tar keeps a file's remarks in an entry before it, which is read whole."""
    entries = [(special("remark", kind), bytes(2**21)), ("a.jpg", b"1")]
    path = tarred(tmp_path / "a.tar.gz", entries, "w:gz")
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"a\.tar\.gz .*2\.0 MiB of metadata for one file"):
        unpack(path, Unpacked(out))


def test_a_bomb_in_an_archive_is_measured_by_the_outer_one(tmp_path, out, monkeypatch):
    monkeypatch.setattr(extract_archive, "_FLOOR_BYTES", 100_000)
    inner = zipped(tmp_path / "a.in", [("bomb", bytes(4_000_000))]).read_bytes()
    with pytest.raises(DataError, match=r"contains more than"):
        unpack(zipped(tmp_path / "a.zip", [("in.zip", inner)]), Unpacked(out, ArchiveLimits(ratio=10)))


def test_too_many_files(tmp_path, out):
    with pytest.raises(DataError, match=r"contains more than 2 files"):
        unpack(zipped(tmp_path / "a.zip", [(str(n), b"") for n in range(4)]), Unpacked(out, ArchiveLimits(files=2)))


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("names", [("A.jpg", "a.jpg"), ("x/ß.jpg", "x/SS.jpg"), ("é.jpg", "e\u0301.jpg")])
def test_names_that_are_one_on_many_disks(tmp_path, out, kind, names):
    with pytest.raises(DataError, match=r"which are one file on case-insensitive disks"):
        unpack(packed(tmp_path, kind, [(name, b"") for name in names]), Unpacked(out))


def test_the_same_file_twice_is_fine_another_of_its_name_is_not(tmp_path, out):
    done = Unpacked(out)
    unpack(packed(tmp_path, "zip", [("LICENCE", b"free")]), done)
    unpack(packed(tmp_path, "tar", [("LICENCE", b"free"), ("1.jpg", b"1")]), done)
    assert tree(out) == {"LICENCE": b"free", "1.jpg": b"1"}
    for other in (b"paid", b"fre", b"freed", b""):
        with pytest.raises(DataError, match=r"two different files named 'LICENCE'"):
            unpack(packed(tmp_path, "tar.gz", [("LICENCE", other)]), done)
    assert tree(out) == {"LICENCE": b"free", "1.jpg": b"1"}


def test_odd_names(tmp_path, out):
    latin = tarfile.TarInfo("k\udce4se.jpg")  # bytes of Latin-1, as tarfile hands them out
    unpack(tarred(tmp_path / "a.tar", [(latin, b"1")]), Unpacked(out))
    assert tree(out) == {"käse.jpg": b"1"}
    with pytest.raises(DataError, match=r"unprintable name 'a\\nb'"):
        unpack(tarred(tmp_path / "a.2.tar", [("a\nb", b"")]), Unpacked(out))
    with pytest.raises(DataError, match=r"which this disk refuses"):
        unpack(tarred(tmp_path / "a.3.tar", [("x" * 300, b"")]), Unpacked(out))
    with pytest.raises(DataError, match=r"which this disk refuses"):
        unpack(tarred(tmp_path / "a.4.tar", [("file", b""), ("file/in it", b"")]), Unpacked(out))


def test_what_macos_adds_is_left_out(tmp_path, out):
    names = ["x/1.jpg", "__MACOSX/x/._1.jpg", "x/.DS_Store", "x/._1.jpg"]
    unpack(packed(tmp_path, "zip", [(name, b"1") for name in names]), Unpacked(out))
    assert tree(out) == {"x/1.jpg": b"1"}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
def test_what_is_cut_off_is_damaged(tmp_path, out, kind):
    noise = bytes(hash((n, 7)) % 256 for n in range(50_000))
    archive = packed(tmp_path, kind, [("a", noise), ("b", noise)])
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(DataError, match=r"is damaged|is neither a zip nor a tar"):
        unpack(archive, Unpacked(out))


def test_a_changed_byte_of_a_zip_is_damage(tmp_path, out):
    archive = packed(tmp_path, "zip", [("a", b"content of some length, which is compressed")])
    data = bytearray(archive.read_bytes())
    data[40] ^= 255
    archive.write_bytes(data)
    with pytest.raises(DataError, match=r"is damaged"):
        unpack(archive, Unpacked(out))


def test_a_page_instead_of_an_archive(tmp_path, out):
    (tmp_path / "a.zip").write_bytes(b"<html>Log in</html>")
    with pytest.raises(DataError, match=r"is neither a zip nor a tar"):
        unpack(tmp_path / "a.zip", Unpacked(out))


def test_a_zip_with_a_password(tmp_path, out):
    archive = packed(tmp_path, "zip", [("a", b"secret")])
    data = bytearray(archive.read_bytes())
    data[6] |= 1  # the flag in the local header, and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(DataError, match=r"cannot be unpacked: .*password.*Unpack it by hand"):
        unpack(archive, Unpacked(out))


def test_what_does_not_fit_is_refused_at_the_start(tmp_path, out, monkeypatch):
    archive = packed(tmp_path, "zip", [("a", bytes(100_000))])
    monkeypatch.setattr("transferkit.core.files.shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskSpaceError, match=r"needs 97.7 KiB, but only 1000 B are free"):
        unpack(archive, Unpacked(out))
    assert not tree(out)


def test_names_of_archives():
    assert [stem(name) for name in ("a.b.tar.gz", "x/A.ZIP", "c.tgz")] == ["a.b", "x/A", "c"]
    assert is_archive("x.TAR")
    assert not is_archive("labels.mat")
