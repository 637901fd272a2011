"""Extraction from tar shards: by two processes of two workers each, and like from a folder."""

import io
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from transferkit.cache.store import FeatureStore
from transferkit.models.catalog import load_encoder
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.protocols.extract import Extractor
from transferkit.protocols.settings import ExtractSettings

SCRIPT = """
import sys
from pathlib import Path
from transferkit.cache.store import FeatureStore
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.models.catalog import load_encoder
from transferkit.protocols import extract, filling
from transferkit.protocols.settings import ExtractSettings

extract.SHARD_ROWS = 8
data, workspace = sys.argv[1], Path(sys.argv[2])
settings = ExtractSettings(size=32, device="cpu", precision="fp32", batch=4, workers=2)
split = open_dataset(data, root=workspace / "data").split("train")
store = FeatureStore(workspace / "features")
extract.Extractor(load_encoder("pixels"), settings, store=store).open(split).run()
"""


def pixels_of(number):
    return np.random.default_rng(number).integers(0, 256, (40, 48, 3), dtype=np.uint8)


@pytest.fixture
def shards(tmp_path):
    """Three shards of train and one of test; every image also lies in a folder."""
    for split, counts in {"train": (17, 9, 34), "test": (4,)}.items():
        number = 0
        for shard, count in enumerate(counts):
            path = tmp_path / f"{split}-{shard}.tar"
            with tarfile.open(path, "w") as archive:
                for _ in range(count):
                    buffer = io.BytesIO()
                    Image.fromarray(pixels_of(number)).save(buffer, "PNG")
                    folder = tmp_path / "folder" / split / str(number % 2)
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / f"{number:03}.png").write_bytes(buffer.getvalue())
                    for kind, content in (("png", buffer.getvalue()), ("cls", str(number % 2).encode())):
                        member = tarfile.TarInfo(f"{number:03}.{kind}")
                        member.size = len(content)
                        archive.addfile(member, io.BytesIO(content))
                    number += 1
    (tmp_path / "test-1.tar").write_bytes((tmp_path / "test-0.tar").read_bytes())
    (tmp_path / "test-2.tar").write_bytes((tmp_path / "test-0.tar").read_bytes())
    return f"wds:{tmp_path}/{{split}}-{{0..2}}.tar"


def features(spec, workspace):
    settings = ExtractSettings(size=32, device="cpu", precision="fp32", batch=4, workers=0)
    split = open_dataset(spec, root=workspace / "data").split("train")
    extractor = Extractor(load_encoder("pixels"), settings, store=FeatureStore(workspace / "features"))
    extraction = extractor.open(split)
    return extraction, extraction.run().features(extraction.names[-1])


def test_features_are_those_of_the_same_files_in_a_folder(shards, tmp_path):
    _, packed = features(shards, tmp_path / "a")
    _, loose = features(f"folder:{tmp_path / 'folder'}", tmp_path / "b")
    by_number = {one.rpartition("/")[2].removesuffix(".png"): row for one, row in zip(loose.ids, loose.x, strict=True)}
    assert len(packed.ids) == len(by_number) == 60
    for one, row in zip(packed.ids, packed.x, strict=True):
        assert (by_number[one.rpartition("/")[2]] == row).all()


@pytest.mark.slow
def test_two_processes_of_two_workers_see_each_sample_once(shards, tmp_path):
    workspace = tmp_path / "both"
    pair = [subprocess.Popen([sys.executable, "-c", SCRIPT, shards, str(workspace)]) for _ in range(2)]
    assert [process.wait() for process in pair] == [0, 0]
    extraction, both = features(shards, workspace)
    assert not extraction.missing, "the two have done it all"
    _, alone = features(shards, tmp_path / "alone")
    assert both.ids == alone.ids
    assert len(set(both.ids)) == 60
    assert (both.x == alone.x).all()
