import struct
import threading
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.download.servers import Server


@pytest.fixture(scope="session")
def photo():
    """A smooth coloured picture with some grain: ``[60, 80, 3]``."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((80, 60), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + rng.integers(-8, 9, smooth.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def make_folder(tmp_path):
    """Write small distinct images: ``make_folder({"cat": 3, "dog": 2})`` or ``{"train/cat": 3, …}``."""

    def make(counts, root=None):
        root = root or tmp_path / "images"
        root.mkdir(parents=True, exist_ok=True)
        for name, count in counts.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                rng = np.random.default_rng([number, *name.encode()])
                pixels = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / name / f"{number}.png")
        return root

    return make


@pytest.fixture
def huge_png():
    """A PNG of a few bytes whose header claims 60000 × 60000 pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


class Notes:
    """A reporter that stores its notes and tasks."""

    def __init__(self):
        self.notes, self.tasks = [], []

    def note(self, message):
        self.notes.append(message)

    def task(self, label, total, unit):
        self.tasks.append((label, total, unit))
        self.advanced = 0
        return nullcontext(self)

    def advance(self, count=1):
        self.advanced += count


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def data_root(tmp_path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(monkeypatch):
    """A server on the loopback interface; the requested folder determines its faults."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()
