import io
import itertools
import json
import os
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from transferkit.core.errors import DataError, UnreadableImageError, UsageError
from transferkit.core.preprocessing import Preprocessing
from transferkit.data.dataset import DATASETS
from transferkit.data.loading import load_batches
from transferkit.data.webdataset import expand_braces
from transferkit.data.webdataset_copies import local_copies
from transferkit.data.webdataset_index import shard_index
from transferkit.download.fetching import RetryPolicy
from transferkit.protocols.dataset_catalog import expand_datasets

VIEW = Preprocessing(resize=4, crop=4)


def picture(level, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 5, 3), level, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def write_shard(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def sample(number, label=None):
    yield f"{number:04}.png", picture(number)
    if label is not None:
        yield f"{number:04}.cls", str(label).encode()


def write_shards(folder, counts, start=0, name="a-{:02}.tar", labels=2):
    """Samples whose grey level is their number, from ``start`` on, with alternating labels."""
    numbers = itertools.count(start)
    for shard, count in enumerate(counts):
        files = [
            file
            for number in itertools.islice(numbers, count)
            for file in sample(number, number % labels if labels else None)
        ]
        write_shard(folder / name.format(shard), files)
    return folder


def opened(pattern, root, seed=0, **options):
    return DATASETS["wds"](str(pattern), root=root, seed=seed, **options)


def levels(split):
    return [int(split.reader.image(row)[0, 0, 0]) for row in range(len(split))]


def test_shards_with_splits(tmp_path, data_root, notes):
    write_shards(tmp_path / "train", [3, 4])
    write_shards(tmp_path / "test", [5], start=50)
    dataset = opened(tmp_path / "{split}/a-{00..01}.tar".replace("01", "00"), data_root)
    assert [len(split) for split in dataset.splits.values()] == [3, 5]
    write_shards(tmp_path / "test", [5, 1], start=50)
    dataset = opened(tmp_path / "{split}/a-{00..01}.tar", data_root, reporter=notes)
    assert dataset.spec == f"wds:{tmp_path}/{{split}}/a-{{00..01}}.tar"
    assert notes.tasks == [("Indexing train", 2, "shards"), ("Indexing test", 2, "shards")]
    train, test = dataset.split("train"), dataset.split("test")
    assert levels(train) == list(range(7))
    assert levels(test) == list(range(50, 56))
    assert train.ids[:4] == ("a-00/0000", "a-00/0001", "a-00/0002", "a-01/0003")
    assert train.labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert train.classes == ("0", "1")


def test_one_split_is_divided_and_the_seed_arrives(tmp_path, data_root):
    write_shards(tmp_path, [10, 10])
    first, same, other = (opened(tmp_path / "a-{00..01}.tar", data_root, seed) for seed in (0, 0, 1))
    assert {name: len(split) for name, split in first.splits.items()} == {"train": 12, "val": 4, "test": 4}
    ids = [one for split in first.splits.values() for one in split.ids]
    assert len(set(ids)) == 20
    assert first.split("test").ids == same.split("test").ids != other.split("test").ids
    assert first.split("train").fingerprint == same.split("train").fingerprint
    for split in first.splits.values():
        assert levels(split) == [int(one[-4:]) for one in split.ids]
        assert np.bincount(split.labels).min() >= 2


def test_train_and_val_without_test(tmp_path, data_root):
    write_shards(tmp_path / "train", [20])
    write_shards(tmp_path / "val", [4], start=30)
    dataset = opened(tmp_path / "{split}/a-00.tar", data_root)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 16, "val": 4, "test": 4}
    assert levels(dataset.split("val")) == list(range(30, 34))


def test_without_labels_all_is_train(tmp_path, data_root):
    write_shards(tmp_path, [4], labels=0)
    dataset = opened(tmp_path / "a-00.tar", data_root)
    assert list(dataset.splits) == ["train"]
    assert dataset.classes == ("unlabelled",)


def test_labels_in_json_and_names(tmp_path, data_root):
    def told(value):
        return [("1.jpg", picture(1, "JPEG")), ("1.json", json.dumps(value).encode())]

    def only(files):
        return shard_index(write_shard(tmp_path / "s.tar", files), cache_dir=data_root).labels

    assert only(told({"label": 3, "cls": 4})) == [3]
    assert only(told({"cls": 4})) == [4]
    assert only(told("cat")) == ["cat"]
    assert only(told({"caption": "a cat"})) == [None]
    assert only([*told({"label": 3}), ("1.cls", b" 7\n")]) == [7]
    with pytest.raises(DataError, match=r"1\.json has the label 1\.5\. Use a whole number or a name"):
        only(told(1.5))
    with pytest.raises(DataError, match=r"1\.json has the label True"):
        only(told({"label": True}))
    with pytest.raises(DataError, match=r"1\.cls is not a whole number, but begins with b'cat'"):
        only([("1.png", picture(1)), ("1.cls", b"cat")])
    with pytest.raises(DataError, match=r"1\.json is not JSON, but begins with b'\{'"):
        only([("1.png", picture(1)), ("1.json", b"{")])


def test_classes_that_have_names(tmp_path, data_root):
    files = []
    for number, name in enumerate(["owl", "cat"] * 5):
        files += [
            (f"{number}.png", picture(number)),
            (f"{number}.json", json.dumps({"label": name}).encode()),
        ]
    write_shard(tmp_path / "s.tar", files)
    dataset = opened(tmp_path / "s.tar", data_root)
    assert dataset.classes == ("cat", "owl")
    for split in dataset.splits.values():
        assert split.labels.tolist() == [1 - level % 2 for level in levels(split)]


def test_samples_are_distinguished_by_name_up_to_the_first_dot(tmp_path, data_root):
    files = [
        ("./x/1.seg.png", picture(9)),
        ("./x/1.PNG", picture(1)),
        ("./x/1.jpg", picture(2, "JPEG")),
        ("x/1.cls", b"0"),
        ("y/1.webp", picture(3, "WEBP")),
        ("y/2.txt", b"no image"),
        (".hidden", b""),
        ("README", b""),
    ]
    index = shard_index(write_shard(tmp_path / "s.tar", files), cache_dir=data_root)
    assert index.keys == ["x/1", "y/1"]
    assert index.labels == [0, None]
    assert index.imageless == ["y/2"]
    content = (tmp_path / "s.tar").read_bytes()
    at, size = index.offsets[0], index.sizes[0]
    assert content[at : at + size] == picture(2, "JPEG"), "of several images, JPEG"


def test_an_index_is_made_once(tmp_path, data_root, monkeypatch):
    path = write_shards(tmp_path, [3]) / "a-00.tar"
    first = shard_index(path, cache_dir=data_root)
    (memo,) = data_root.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", None)
        assert shard_index(path, cache_dir=data_root) == first
    memo.write_bytes(memo.read_bytes()[:-20])
    assert shard_index(path, cache_dir=data_root) == first, "a damaged index is built again"
    write_shards(tmp_path, [4])
    assert len(shard_index(path, cache_dir=data_root).keys) == 4, "a changed shard is read again"
    write_shards(tmp_path, [3], start=5)
    assert shard_index(path, cache_dir=data_root).contents != first.contents


def test_an_image_that_cannot_be_decoded_is_one_row(tmp_path, data_root):
    files = [("1.png", b"nonsense"), ("1.cls", b"0"), *sample(2, 1), *sample(3, 1)]
    write_shard(tmp_path / "train.tar", files)
    write_shard(tmp_path / "test.tar", files)
    split = opened(tmp_path / "{split}.tar", data_root).split("train")
    with pytest.raises(UnreadableImageError, match="not an image of a known format"):
        split.reader.image(0)
    assert split.reader.image(1)[0, 0, 0] == 2


def test_a_shard_that_changes_or_goes_meanwhile(tmp_path, data_root):
    write_shards(tmp_path, [6])
    split = opened(tmp_path / "a-00.tar", data_root).split("train")
    os.utime(tmp_path / "a-00.tar", ns=(0, 1))
    with pytest.raises(DataError, match=r"a-00\.tar changed after it was opened\. Run the same command again"):
        split.reader.image(0)
    (tmp_path / "a-00.tar").unlink()
    with pytest.raises(UnreadableImageError, match="No such file"):
        split.reader.image(0)


def broken(tmp_path, kind):
    path = write_shards(tmp_path, [4]) / "a-00.tar"
    content = path.read_bytes()
    if kind == "gzip":
        with tarfile.open(path, "w:gz") as archive:
            archive.add(__file__, "1.png")
    elif kind == "cut in a sample":
        path.write_bytes(content[:700])
    elif kind == "cut between samples":
        path.write_bytes(content[: 4 * 4 * 512])
    elif kind == "text":
        path.write_text("not a tar" * 100)
    elif kind == "twice":
        write_shard(path, [*sample(1, 0), *sample(2, 0), *sample(1, 0)])
    elif kind == "no images":
        write_shard(path, [("1.txt", b"x")])
    elif kind == "half labelled":
        write_shard(path, [*sample(1, 0), *sample(2)])
    elif kind == "mixed":
        write_shard(path, [*sample(1, 0), ("2.png", picture(2)), ("2.json", b'"cat"')])
    elif kind == "negative":
        write_shard(path, [*sample(1, -1), *sample(2, 1)])
    else:
        write_shard(path, [*sample(1, 0), *sample(2, 1), *sample(3, 1)])
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("gzip", r"a-00\.tar cannot be read as an uncompressed tar: .* If it is compressed, decompress it to \.tar"),
        ("cut in a sample", r"a-00\.tar cannot be read as an uncompressed tar"),
        (
            "cut between samples",
            r"a-00\.tar cannot be read .*: the end-of-archive block is missing\..* download it again",
        ),
        ("text", "cannot be read as an uncompressed tar"),
        ("twice", "has the sample '0001' twice. Keys must be unique"),
        ("no images", "contain no samples with images"),
        ("half labelled", "has labels, but 0002 has none"),
        ("mixed", "mixes numbers and names as labels"),
        ("negative", r"has labels -1 … 1; the allowed range is 0 …"),
        ("few", r"has no test split, and its class '0' has 1 image, too few .* each class needs 3 or more"),
    ],
)
def test_broken_shards(tmp_path, data_root, kind, words):
    with pytest.raises(DataError, match=words):
        opened(broken(tmp_path, kind), data_root)


def test_missing_shards(tmp_path, data_root):
    with pytest.raises(DataError, match=r"There is no shard .*a-00\.tar"):
        opened(tmp_path / "a-{00..03}.tar", data_root)
    write_shards(tmp_path, [2, 2])
    with pytest.raises(DataError, match=r"2 of 4 shards are missing, such as .*a-02\.tar\. Add them, or narrow"):
        opened(tmp_path / "a-{00..03}.tar", data_root)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "wds: has no shards. Give a pattern"),
        ("a-{000..012.tar", "has an unmatched brace"),
        ("a-000}.tar", "has an unmatched brace"),
        ("a-{x}.tar", r"\{x\} of .* is invalid\. Use a range such as \{000\.\.012\} or a list"),
        ("a-{5..2}.tar", "is invalid"),
        ("a-{0..999}{0..999}.tar", "stands for 1000000 shards; at most 100000"),
    ],
)
def test_invalid_patterns_are_rejected(pattern, words, data_root):
    with pytest.raises(UsageError, match=words):
        opened(pattern, data_root)


def test_patterns_are_those_of_the_shell():
    assert expand_braces("p{a,b}-{8..10}.tar") == [f"p{x}-{n}.tar" for x in "ab" for n in (8, 9, 10)]
    assert expand_braces("plain.tar") == ["plain.tar"]
    assert expand_braces("{098..101}") == ["098", "099", "100", "101"]


def test_commas_in_braces_do_not_end_a_spec():
    specs = ["wds:/d/{a,b}-{0..3}.tar", "mini/objects"]
    assert expand_datasets([",".join(specs)]) == specs


def test_shards_of_one_name_in_several_folders(tmp_path, data_root):
    for at, folder in enumerate(("x", "y")):
        write_shards(tmp_path / folder, [10], start=20 * at)
    dataset = opened(tmp_path / "{x,y}/a-00.tar", data_root)
    ids = sorted(one for split in dataset.splits.values() for one in split.ids)
    assert ids[0] == "x/a-00/0000"
    assert ids[-1] == "y/a-00/0029"


def test_two_ranks_with_two_workers_see_each_sample_once(tmp_path, data_root):
    """Pretraining gives each rank its part of every whole batch of one permutation."""
    write_shards(tmp_path / "train", [13, 6, 21])
    write_shards(tmp_path / "test", [2, 2, 2])
    split = opened(tmp_path / "{split}/a-{00..02}.tar", data_root).split("train")
    order = np.random.default_rng(0).permutation(len(split))
    seen = []
    for rank in range(2):
        batches = [order[start + 5 * rank : start + 5 * rank + 5] for start in range(0, len(order), 10)]
        for asked, batch in zip(batches, load_batches(split, VIEW, batches, workers=2), strict=True):
            assert batch.rows.tolist() == asked.tolist()
            assert not batch.reasons
            assert batch.images[:, 0, 0, 0].tolist() == asked.tolist(), "the image of the row, in order"
            seen += batch.images[:, 0, 0, 0].tolist()
    assert sorted(seen) == list(range(40))


class Handler(BaseHTTPRequestHandler):
    """Serves a folder; ``mode`` says how it misbehaves."""

    def __init__(self, folder, mode, asked, *args):
        self.folder, self.mode, self.asked = folder, mode, asked
        super().__init__(*args)

    def do_GET(self):
        path = self.folder / self.path.lstrip("/")
        self.asked.append(self.path)
        if self.mode == "error":
            self.send_error(500)
        elif not path.exists():
            self.send_error(404)
        elif self.mode == "redirect" and not self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", f"/moved{self.path}")
            self.end_headers()
        elif self.mode == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"400\r\nhalf of it")
        else:
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if self.mode == "cut" else content)

    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """``served(mode)``: the address of a server of ``tmp_path / "served"``, and what it was asked for."""
    servers = []

    def serve(mode="well"):
        asked = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, tmp_path / "served", mode, asked))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_shards_at_a_url_are_copied_once(tmp_path, data_root, served, notes):
    write_shards(tmp_path / "served" / "train", [6, 6])
    write_shards(tmp_path / "served" / "test", [3, 3], start=40)
    address, asked = served()
    pattern = address + "/{split}/a-{00..01}.tar"
    dataset = opened(pattern, data_root, reporter=notes)
    assert any("/val/a-00.tar answers 404" in note for note in notes.notes)
    assert (dataset.spec, dataset.source) == (f"wds:{pattern}", pattern)
    assert levels(dataset.split("train")) == list(range(12))
    assert levels(dataset.split("test")) == list(range(40, 46))
    wanted = [f"/{split}/a-0{n}.tar" for split in ("train", "test") for n in (0, 1)]
    assert [path for path in asked if "val" not in path] == wanted
    asked.clear()
    again = opened(pattern, data_root)
    assert again.split("train").fingerprint == dataset.split("train").fingerprint
    assert not asked, "neither what is there nor what was absent is asked for again"


def test_a_server_that_moved_its_files(tmp_path, data_root, served):
    write_shards(tmp_path / "served", [10])
    write_shards(tmp_path / "served" / "moved", [10])
    address, asked = served("redirect")
    assert len(opened(f"{address}/a-00.tar", data_root).split("train")) == 6
    assert asked == ["/a-00.tar", "/moved/a-00.tar"]


@pytest.fixture
def impatient(monkeypatch):
    """Use a short timeout, and no pauses between attempts."""
    short = partial(RetryPolicy, timeout_seconds=0.3, pause_seconds=0)
    monkeypatch.setattr("transferkit.download.fetching.RetryPolicy", short)


@pytest.mark.usefixtures("impatient")
def test_servers_that_misbehave(tmp_path, data_root, served):
    write_shards(tmp_path / "served", [3, 3])
    again = r"Check the address and the network, then run the same command again"
    address, asked = served("cut")
    with pytest.raises(DataError, match=rf"a-00\.tar could not be .* sent \d+ of \d+ bytes, 5 times\. {again}"):
        opened(f"{address}/a-00.tar", data_root)
    assert len(asked) > 1
    assert not list(data_root.rglob("*.tar")), "no half of a shard is taken for one"
    address, _ = served("chunked")
    with pytest.raises(DataError, match=rf"a-00\.tar could not be fetched: .*IncompleteRead.*{again}"):
        opened(f"{address}/a-00.tar", data_root)
    address, _ = served("error")
    with pytest.raises(DataError, match=rf"a-00\.tar answers 500 Internal Server Error, 5 times\. {again}"):
        opened(f"{address}/a-00.tar", data_root)
    address, _ = served()
    with pytest.raises(DataError, match=r"a-02\.tar answers 404 .* Other shards of the pattern exist"):
        opened(address + "/a-{00..02}.tar", data_root)
    with pytest.raises(DataError, match=r"There is no shard http.*b-00\.tar"):
        opened(address + "/b-{00..02}.tar", data_root)
    with pytest.raises(DataError, match=r"could not be fetched: .*refused"):
        opened("http://127.0.0.1:9/a.tar", data_root)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("etag", ['"one"', ""])
@pytest.mark.parametrize("kind", ["good", "drops", "drops_without_ranges", "stalls", "busy", "elsewhere"])
def test_every_sample_once_whatever_a_server_does(tmp_path, data_root, server, kind, etag):
    write_shards(tmp_path, [30, 10])
    server.files = {path.name: path.read_bytes() for path in tmp_path.glob("*.tar")}
    server.piece, server.etag = 7_001, etag
    dataset = opened(f"{server.url(kind)}/a-{{00..01}}.tar", data_root)
    found = sorted(level for split in dataset.splits.values() for level in levels(split))
    assert found == list(range(40))
    for path in data_root.rglob("*.tar*"):
        assert path.read_bytes() == server.files[path.name], "and no part stays"
    if kind == "drops":
        assert server.ranges[:3] == [None, "bytes=7001-", "bytes=14002-"]


@pytest.mark.usefixtures("impatient")
def test_what_came_before_a_server_went_away_is_not_fetched_again(tmp_path, data_root, server, notes):
    write_shards(tmp_path, [10, 30])
    server.files = {path.name: path.read_bytes() for path in tmp_path.glob("*.tar")}
    server.piece = 40_000
    with pytest.raises(DataError, match=r"a-01\.tar could not be fetched: .*sent 0 of \d+ bytes, 5 times\. Check"):
        opened(server.url("drops_always") + "/a-{00..01}.tar", data_root, reporter=notes)
    assert sum("trying again" in note for note in notes.notes) == 4
    server.requests.clear()
    server.piece = None
    dataset = opened(server.url("drops_always") + "/a-{00..01}.tar", data_root)
    assert sum(map(len, dataset.splits.values())) == 40
    assert server.requests == [("/drops_always/a-01.tar", "bytes=40000-", '"one"')]


def test_of_two_processes_one_fetches(tmp_path, data_root, server, notes):
    """Locks belong to open files, so two calls in one process behave like two processes."""
    write_shards(tmp_path, [10])
    server.files = {"a-00.tar": (tmp_path / "a-00.tar").read_bytes()}
    urls = [server.url("stalls/a-00.tar")]
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(local_copies, urls, data_root, reporter=notes) for _ in range(2)]
        while not any("waiting" in note for note in notes.notes):
            assert not all(one.done() for one in both)
            time.sleep(0.01)
        server.released.set()
        assert both[0].result() == both[1].result()
    assert len([asked for asked in server.ranges if asked is None]) == 1
    assert notes.notes[0] == f"Another process is fetching {urls[0]} and the shards after it; waiting for it."
