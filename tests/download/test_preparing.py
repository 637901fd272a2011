"""Preparation of data sets from archives in the published layouts."""

import hashlib
import json
import shutil
import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.data.detection.trees import archives_of
from tests.datasets.trees import TREES
from transferkit.core.errors import DataError, DiskSpaceError, UsageError
from transferkit.core.files import digest_file
from transferkit.data.detection import DETECTION, open_detection
from transferkit.data.published import PUBLISHED, Published
from transferkit.download.fetching import RetryPolicy
from transferkit.download.preparing import Request, prepare
from transferkit.download.preparing import _lock as alone
from transferkit.download.publication import Download
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.protocols.prepare_dataset import prepare_named


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder and the address that it is served from."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("TRANSFERKIT_MIRROR", raising=False)
    folder = tmp_path / "mirror"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def tree(name, folder):
    TREES[name](folder)
    return folder


def archive(folder, kind="gztar"):
    """``folder`` packed beside itself, without a folder around it."""
    return Path(shutil.make_archive(str(folder), kind, folder))


def offered(name, *downloads):
    """A published set as it is, but for where it is fetched from."""
    fields = {**PUBLISHED[name].__dict__, "downloads": downloads, "size_bytes": None}
    return Published(**fields)


def left(root):
    """Return the files in the data folder that belong neither to data sets nor to their records."""
    hidden = [path.name for path in (root / ".preparing").glob("*") if path.suffix != ".lock"]
    return [*hidden, *(path.name for path in root.glob("downloads/*"))]


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_every_set_from_an_archive(name, kind, tmp_path, data_root):
    source = archive(tree(name, tmp_path / "mine"), kind)
    prepared = prepare(PUBLISHED[name], data_root, Request((source,)))
    dataset = open_dataset(name, root=data_root)
    assert (prepared.name, prepared.how, prepared.folder) == (name, "unpacked", str(data_root / name))
    assert prepared.classes == len(dataset.classes)
    assert prepared.images == sum(map(len, dataset.splits.values()))
    assert prepared.published == sum(PUBLISHED[name].counts.values())
    assert source.exists()
    assert not left(data_root)


def test_a_second_call_does_nothing(tmp_path, data_root, notes):
    source = archive(tree("dtd", tmp_path / "mine"))
    prepare(PUBLISHED["dtd"], data_root, Request((source,)))
    source.unlink()
    again = prepare(PUBLISHED["dtd"], data_root, Request((source,)), reporter=notes)
    assert (again.how, again.images) == ("ready", None)
    assert not notes.notes


def test_a_folder_is_linked_to_or_copied(tmp_path, data_root):
    mine = tree("eurosat", tmp_path / "mine")
    assert prepare(PUBLISHED["eurosat"], data_root, Request((mine,))).how == "linked"
    assert (data_root / "eurosat").readlink() == mine
    assert len(open_dataset("eurosat", root=data_root).classes) == 3
    (data_root / "eurosat").unlink()
    assert prepare(PUBLISHED["eurosat"], data_root, Request((mine,), copy=True)).how == "copied"
    assert not (data_root / "eurosat").is_symlink()
    assert not left(data_root)


def test_a_dead_link_is_replaced(tmp_path, data_root):
    data_root.mkdir()
    (data_root / "eurosat").symlink_to(tmp_path / "gone")
    assert prepare(PUBLISHED["eurosat"], data_root, Request((tree("eurosat", tmp_path / "x"),))).how == "linked"


def test_a_folder_of_archives_and_tables(tmp_path, data_root):
    """The National Institutes of Health publish ChestX as a table and several archives of images."""
    whole, boxed = tree("chestx", tmp_path / "whole"), tmp_path / "boxed"
    boxed.mkdir()
    images = sorted(path for path in whole.rglob("*.png"))
    for part in range(3):
        with tarfile.open(boxed / f"images_{part + 1:03}.tar.gz", "w:gz") as packed:
            for path in images[part::3]:
                packed.add(path, f"images/{path.name}")
    shutil.copy(next(whole.glob("Data_Entry_2017*.csv")), boxed)
    (boxed / "holiday.jpg").touch()
    prepared = prepare(PUBLISHED["chestx"], data_root, Request((boxed,)))
    expected = PUBLISHED["chestx"].read(whole)
    assert prepared.images == sum(map(len, expected.parts.values()))
    assert not (data_root / "chestx/holiday.jpg").exists()


def test_in_a_folder_only_the_archives_of_the_set_are_taken(tmp_path, data_root):
    """Other archives in the folder are ignored."""
    downloads = tmp_path / "downloads"
    for name, source in {"EuroSAT": "eurosat", "trip": "resisc45"}.items():
        shutil.make_archive(str(downloads / name), "zip", tree(source, tmp_path / source))
    assert prepare(PUBLISHED["eurosat"], data_root, Request((downloads,))).images == 36
    (downloads / "EuroSAT.zip").rename(downloads / "EuroSAT_RGB.zip")
    words = r"has no EuroSAT\.zip, but EuroSAT_RGB\.zip, trip\.zip\. Give only those of eurosat, as --from A"
    with pytest.raises(DataError, match=words):
        prepare(PUBLISHED["eurosat"], data_root / "other", Request((downloads,)))
    (downloads / "trip.zip").unlink()
    assert prepare(PUBLISHED["eurosat"], data_root / "other", Request((downloads,))).images == 36


def test_single_files_that_are_whole_need_no_archive(tmp_path, data_root):
    mine = tree("svhn", tmp_path / "mine")
    (mine / "train_32x32.mat").rename(tmp_path / "kept.mat")
    shutil.make_archive(str(mine / "trip"), "zip", tree("eurosat", tmp_path / "trip"))
    with pytest.raises(DataError, match="not svhn, or it is incomplete"):
        prepare(PUBLISHED["svhn"], data_root, Request((mine,)))
    (tmp_path / "kept.mat").rename(mine / "train_32x32.mat")
    prepare(PUBLISHED["svhn"], data_root, Request((mine, mine / "test_32x32.mat")))
    assert {path.name for path in (data_root / "svhn").iterdir()} == {"train_32x32.mat", "test_32x32.mat"}


@pytest.mark.parametrize("packed", [True, False])
def test_more_classes_than_published_are_refused(tmp_path, data_root, packed):
    mine = tree("eurosat", tmp_path / "mine")
    for number in range(8):
        shutil.copytree(mine / "2750/Forest", mine / f"2750/trip{number}")
    words = r"this is not eurosat: it has 11 classes instead of the published 10\. Remove files of other"
    with pytest.raises(DataError, match=words):
        prepare(PUBLISHED["eurosat"], data_root, Request((archive(mine) if packed else mine,)))
    assert not (data_root / "eurosat").exists()


def test_fewer_classes_than_published_are_reported(tmp_path, data_root, notes):
    prepare(PUBLISHED["omniglot"], data_root, Request((tree("omniglot", tmp_path / "x"),)), reporter=notes)
    assert notes.notes == ["omniglot: 4 classes instead of the published 659."]


def test_several_archives_make_one_set(tmp_path, data_root):
    mine = tree("isic", tmp_path / "mine")
    parts = [Path(shutil.make_archive(str(tmp_path / path.name), "zip", mine, path.name)) for path in mine.iterdir()]
    assert len(parts) == 2
    with pytest.raises(DataError, match=r"not isic, or it is incomplete; .*several archives are given"):
        prepare(PUBLISHED["isic"], data_root, Request((parts[0],)))
    assert prepare(PUBLISHED["isic"], data_root, Request(tuple(parts))).how == "unpacked"


def test_another_set_is_refused_and_nothing_is_left(tmp_path, data_root):
    source = archive(tree("dtd", tmp_path / "mine"))
    message = r"mine.tar.gz: this is not eurosat, .*; found: dtd. Expected is 2750/CLASS"
    with pytest.raises(DataError, match=message):
        prepare(PUBLISHED["eurosat"], data_root, Request((source,)))
    assert not (data_root / "eurosat").exists()
    assert not left(data_root)


def test_a_table_without_its_columns_is_named_with_its_path(tmp_path, data_root):
    mine = tree("kaokore", tmp_path / "mine")
    (mine / "labels.csv").write_text("file,status\na.jpg,1\n")
    words = f"{mine}/labels.csv has no column 'image', 'gender', 'set', only file, status. Needed are image, gender"
    with pytest.raises(DataError, match=words):
        prepare(PUBLISHED["kaokore"], data_root, Request((mine,)))


def test_names_that_fit_are_not_enough(tmp_path, data_root):
    """The reader decides: the folder has the expected names, but not the labels."""
    mine = tree("flowers102", tmp_path / "mine")
    (mine / "imagelabels.mat").write_bytes(b"no labels")
    with pytest.raises(DataError, match=r"this is not flowers102: ") as caught:
        prepare(PUBLISHED["flowers102"], data_root, Request((archive(mine),)))
    assert ".preparing" not in str(caught.value)
    assert not (data_root / "flowers102").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "mine does not exist. Give an archive or a folder with --from"),
        (lambda path: path.mkdir(), "mine is not eurosat and contains no archives. Expected is 2750"),
        (lambda path: path.write_bytes(b"Rar!"), "not eurosat, or it is incomplete; found: mine"),
    ],
)
def test_sources_that_are_nothing(tmp_path, data_root, make, message):
    make(tmp_path / "mine")
    with pytest.raises(DataError, match=message):
        prepare(PUBLISHED["eurosat"], data_root, Request((tmp_path / "mine",)))


def test_kinds_that_are_not_unpacked(tmp_path, data_root):
    (tmp_path / "NWPU.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match=r"NWPU.rar is not a zip or tar archive. Unpack it by hand and give the folder"):
        prepare(PUBLISHED["resisc45"], data_root, Request((tmp_path / "NWPU.rar",)))


def test_the_folder_around_the_data_folder_is_refused(tmp_path):
    mine = tree("eurosat", tmp_path / "mine")
    with pytest.raises(DataError, match=r"mine contains the data folder itself"):
        prepare(PUBLISHED["eurosat"], mine / "data", Request((mine,)))


def test_an_incomplete_folder_is_not_changed(tmp_path, data_root):
    (data_root / "dtd/images").mkdir(parents=True)
    message = r"dtd exists, but dtd in it is incomplete; it is not changed. .* Move or remove the folder"
    with pytest.raises(DataError, match=message):
        prepare(PUBLISHED["dtd"], data_root, Request((archive(tree("dtd", tmp_path / "mine")),)))
    assert (data_root / "dtd/images").exists()


def test_what_an_interruption_left_is_cleared(tmp_path, data_root):
    (data_root / ".preparing/dtd/images").mkdir(parents=True)
    prepare(PUBLISHED["dtd"], data_root, Request((archive(tree("dtd", tmp_path / "mine")),)))
    assert not left(data_root)


def test_two_processes_do_not_prepare_one_set(tmp_path, data_root):
    mine = tree("dtd", tmp_path / "mine")
    with alone(data_root, "dtd"), pytest.raises(DataError, match=r"dtd is being prepared by another process"):
        prepare(PUBLISHED["dtd"], data_root, Request((mine,)))


def test_a_data_folder_that_cannot_be_written_is_one_line(tmp_path):
    mine = tree("dtd", tmp_path / "mine")
    (tmp_path / "file").touch()
    with pytest.raises(DiskSpaceError, match=r"cannot be written"):
        prepare(PUBLISHED["dtd"], tmp_path / "file/data", Request((mine,)))


def test_sets_that_cannot_be_fetched_say_what_to_do(data_root):
    with pytest.raises(DataError) as caught:
        prepare(PUBLISHED["kaokore"], data_root)
    text = str(caught.value)
    assert "By hand:\n  1. git clone" in text
    assert f"Or unpack it to {data_root / 'kaokore'} yourself, so that this folder has labels.csv" in text
    assert not data_root.exists()


def test_fetched_from_the_publisher(mirror, tmp_path, data_root):
    folder, url = mirror
    source = archive(tree("flowers102", tmp_path / "x"), "zip")
    shutil.move(source, folder / "a.zip")
    (folder / "note.txt").write_text("read me")
    published = offered(
        "flowers102",
        Download(f"{url}/a.zip", "a.zip", into="flowers"),
        Download(f"{url}/note.txt", "note.txt", into="doc"),
    )
    assert prepare(published, data_root).how == "unpacked"
    assert (data_root / "flowers102/flowers/setid.mat").exists()
    assert (data_root / "flowers102/doc/note.txt").read_text() == "read me"
    assert not left(data_root)


def test_checksums_of_files_without_a_published_one_are_recorded(mirror, tmp_path, data_root, notes):
    folder, url = mirror
    source = shutil.move(archive(tree("dtd", tmp_path / "x")), folder / "dtd.tar.gz")
    (folder / "note.txt").write_text("read me")
    known = hashlib.sha256(b"read me").hexdigest()
    published = offered(
        "dtd",
        Download(f"{url}/dtd.tar.gz", "dtd.tar.gz"),
        Download(f"{url}/note.txt", "note.txt", digest=f"sha256:{known}"),
    )
    prepare(published, data_root, reporter=notes)
    memo, first = data_root / "digests/dtd.json", digest_file(source)
    assert json.loads(memo.read_text()) == {"dtd.tar.gz": first}
    said = [note for note in notes.notes if "SHA-256" in note]
    assert said == [
        f"dtd.tar.gz has no published checksum. Its SHA-256 is {first}; it is recorded in {memo} and "
        "compared when the file is fetched again."
    ]
    with source.open("ab") as file:
        file.write(bytes(512))  # another file, of the same images
    for _ in range(2):
        shutil.rmtree(data_root / "dtd")
        notes.notes.clear()
        prepare(published, data_root, reporter=notes)
        (said,) = (note for note in notes.notes if "SHA-256" in note)
        assert said.startswith("dtd.tar.gz differs from the first download: its SHA-256 is ")
        assert f"{digest_file(source)}, and was {first}. " in said
        assert "verify dtd" in said
    memo.write_text("{")
    shutil.rmtree(data_root / "dtd")
    prepare(published, data_root)
    assert json.loads(memo.read_text()) == {"dtd.tar.gz": digest_file(source)}


def test_a_rejected_file_is_not_recorded(mirror, tmp_path, data_root):
    folder, url = mirror
    shutil.move(archive(tree("dtd", tmp_path / "x")), folder / "e.tar.gz")
    with pytest.raises(DataError, match="this is not eurosat"):
        prepare(offered("eurosat", Download(f"{url}/e.tar.gz", "e.tar.gz")), data_root)
    assert not (data_root / "digests").exists()


def test_archives_are_kept_on_request(mirror, tmp_path, data_root):
    folder, url = mirror
    shutil.move(archive(tree("dtd", tmp_path / "x")), folder / "dtd.tar.gz")
    published = offered("dtd", Download(f"{url}/dtd.tar.gz", "dtd.tar.gz"))
    prepare(published, data_root, Request(keep_archives=True))
    assert (data_root / "downloads/dtd/dtd.tar.gz").exists()


def test_mirrors_come_before_the_publisher(mirror, tmp_path, data_root, monkeypatch):
    folder, url = mirror
    (folder / "dtd").mkdir()
    shutil.move(archive(tree("dtd", tmp_path / "x")), folder / "dtd/d.tar.gz")
    published = offered("dtd", Download("http://127.0.0.1:9/d.tar.gz", "d.tar.gz"))
    for number, (request, variable) in enumerate(
        [
            (Request(urls=(f"{url}/dtd/",)), ""),
            (Request(urls=(f"{url}/dtd/d.tar.gz",)), ""),
            (Request(), f"{url}/"),
        ]
    ):
        monkeypatch.setenv("TRANSFERKIT_MIRROR", variable)
        assert prepare(published, data_root / str(number), request).how == "unpacked"


def test_a_set_that_is_not_offered_from_an_address(mirror, tmp_path, data_root):
    folder, url = mirror
    shutil.move(archive(tree("kaokore", tmp_path / "x")), folder / "k.tar.gz")
    assert prepare(PUBLISHED["kaokore"], data_root, Request(urls=(f"{url}/k.tar.gz",))).how == "unpacked"


@pytest.mark.parametrize(
    ("name", "url", "message"),
    [
        (
            "flowers102",
            "https://a/other.zip",
            r"other.zip is not one of the files of flowers102: 102flowers.tgz, ",
        ),
        ("kaokore", "https://a/b/", r"https://a/b/ ends in no file name"),
    ],
)
def test_invalid_addresses_are_rejected(data_root, name, url, message):
    with pytest.raises(UsageError, match=message):
        prepare(PUBLISHED[name], data_root, Request(urls=(url,)))


def test_a_wrong_archive_without_a_digest_is_not_kept(mirror, tmp_path, data_root):
    """Otherwise every later call would unpack it again."""
    folder, url = mirror
    shutil.move(archive(tree("dtd", tmp_path / "x")), folder / "e.tar.gz")
    published = offered("eurosat", Download(f"{url}/e.tar.gz", "e.tar.gz"))
    with pytest.raises(DataError, match=r"e.tar.gz: this is not eurosat"):
        prepare(published, data_root)
    assert not list((data_root / "downloads/eurosat").iterdir())


def boxed_at(name, folder, url, *, digest=None):
    """A published detection set whose archives are the tiny ones in a folder."""
    published = DETECTION[name].published
    downloads = tuple(
        replace(
            one,
            url=f"{url}/{one.file}",
            digest=digest or f"md5:{hashlib.md5((folder / one.file).read_bytes()).hexdigest()}",
            size_bytes=(folder / one.file).stat().st_size,
        )
        for one in published.downloads
    )
    return replace(published, downloads=downloads, size_bytes=None)


@pytest.mark.parametrize("name", ["voc0712", "coco"])
def test_detection_sets_are_fetched_unpacked_and_opened(name, mirror, tmp_path, data_root):
    folder, url = mirror
    shutil.copytree(archives_of(name, tmp_path), folder, dirs_exist_ok=True)
    published = boxed_at(name, folder, url)
    first = published.downloads[0].file
    place = data_root / "downloads" / name
    place.mkdir(parents=True)
    (place / f"{first}.part").write_bytes(b"what an interruption left")
    prepared = prepare(published, data_root)
    dataset = open_detection(name, root=data_root)
    assert (prepared.how, prepared.classes) == ("unpacked", len(dataset.classes))
    assert prepared.images == sum(map(len, dataset.splits.values()))
    assert not left(data_root)
    assert prepare(published, data_root).how == "ready"


def test_detection_archives_with_another_digest_are_refused(mirror, tmp_path, data_root):
    folder, url = mirror
    shutil.copytree(archives_of("coco", tmp_path), folder, dirs_exist_ok=True)
    published = boxed_at("coco", folder, url, digest="md5:cced6f7f71b7629ddf16f17bbcfab6b2")
    with pytest.raises(DataError, match=r"train2017.zip could not be fetched: .*md5 .* not the published cced6"):
        prepare(published, data_root)
    assert not (data_root / "coco").exists()


def test_names_of_all_kinds(tmp_path, data_root):
    mine = tree("deepweeds", tmp_path / "mine")
    assert prepare_named("deepweeds:0@shots=5", data_root, Request((mine,))).how == "linked"
    drawn = prepare_named("mini/digits", data_root)
    assert (drawn.how, drawn.images) == ("drawn", 560)
    with pytest.raises(UsageError, match=r"folder:x is a path and needs no preparation"):
        prepare_named("folder:x", data_root)
    with pytest.raises(UsageError, match=r"mini/digits is embedded and has no other source"):
        prepare_named("mini/digits", data_root, Request((mine,)))


def test_an_unreachable_server_is_an_error(data_root, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    published = offered("dtd", Download("http://127.0.0.1:9/d.tar.gz", "d.tar.gz"))
    with pytest.raises(DataError, match=r"d.tar.gz could not be fetched: .*refused"):
        prepare(published, data_root, Request(retry_policy=RetryPolicy(attempts=1)))
    assert not (data_root / "dtd").exists()
