import io

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference.checksum import slow_checksum
from transferkit.cache.format import Block, checksum, encode_shard, reading_shard
from transferkit.cache.names import encoded
from transferkit.core.errors import DamagedError

RNG = np.random.default_rng(0)


def noise(*shape, dtype="float16"):
    return RNG.standard_normal(shape).astype(dtype)


def written(folder, arrays):
    data, index = encode_shard(arrays)
    path = folder / "shard.h5"
    path.write_bytes(data)
    return path, index


@given(st.binary(min_size=1, max_size=200), st.integers(1, 70))
def test_the_checksum_is_the_slow_one_of_short_data(data, chunk):
    assert checksum(np.frombuffer(data, np.uint8), chunk) == slow_checksum(data, chunk)


@pytest.mark.parametrize("words", [508, 509, 510, 2 * 509, 3 * 509 + 7])
@pytest.mark.parametrize("more", [0, 1, 7])
def test_the_checksum_is_the_slow_one_around_whole_columns(words, more):
    data = RNG.integers(0, 256, 8 * words + more, dtype=np.uint8)
    assert checksum(data, len(data)) == slow_checksum(data.tobytes(), len(data))
    assert checksum(data, 4099) == slow_checksum(data.tobytes(), 4099)


def test_the_checksum_sees_every_byte_and_every_exchange():
    data = RNG.integers(0, 256, 9001, dtype=np.uint8)
    before = checksum(data, 4096)
    for i in range(0, len(data), 13):
        changed = data.copy()
        changed[i] ^= 1 << i % 8
        assert checksum(changed, 4096) != before
    for a, b in [(0, 8), (0, 4096), (0, 509 * 8 * 2), (100, 8192)]:
        changed = data.copy()
        changed[[a, b]] = changed[[b, a]]
        assert (checksum(changed, 4096) != before) == (data[a] != data[b])


def test_exchanged_pages_change_the_checksum():
    data = RNG.integers(0, 256, (64, 4096), dtype=np.uint8)
    for a, b in [(0, 1), (0, 63), (10, 42)]:
        changed = data.copy()
        changed[[a, b]] = changed[[b, a]]
        assert checksum(changed, 64) != checksum(data, 64)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2048, 7), (1000, 2049), (130, 5000)])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_arrays_come_back_with_and_without_h5py(tmp_path, shape, dtype):
    arrays = {"layers/blocks.11": noise(*shape, dtype=dtype), "rows/label": np.arange(shape[0], dtype="<i4")}
    path, index = written(tmp_path, arrays)
    with reading_shard(path, index) as reader, h5py.File(path) as file:
        for name, array in arrays.items():
            np.testing.assert_array_equal(reader.read(name), array)
            np.testing.assert_array_equal(file[name][:], array)
            assert file[name].fletcher32
            assert file[name].dtype == array.dtype


def test_an_array_is_read_into_given_memory(tmp_path):
    array = noise(300, 4000)
    path, index = written(tmp_path, {"layers/a": array})
    memory = np.zeros((500, 4000), "float16")
    with reading_shard(path, index) as reader:
        reader.read("layers/a", into=memory[100:400])
    np.testing.assert_array_equal(memory[100:400], array)
    assert not memory[:100].any()
    assert not memory[400:].any()


def test_texts_are_utf8_for_others_too(tmp_path):
    path, _ = written(tmp_path, {"rows/id": encoded(["a/ä.jpg", "b"])})
    with h5py.File(path) as file:
        assert file["rows/id"].asstr()[:].tolist() == ["a/ä.jpg", "b"]


def test_equal_arrays_give_equal_bytes():
    arrays = {"layers/a": noise(100, 8), "rows/id": encoded(["x"] * 100)}
    first, second = encode_shard(arrays), encode_shard({name: a.copy() for name, a in arrays.items()})
    assert bytes(first[0]) == bytes(second[0])
    assert first[1] == second[1]


@pytest.mark.parametrize(("n", "d"), [(2048, 2048), (2000, 2048), (1999, 1280), (1025, 512), (129, 60000)])
def test_long_arrays_are_chunked_by_rows_with_little_padding(n, d):
    array = np.zeros((n, d), "float16")
    data, _ = encode_shard({"layers/a": array})
    with h5py.File(io.BytesIO(data)) as file:
        rows, width = file["layers/a"].chunks
    assert width == d
    assert rows <= max(128, 2**20 // (2 * d))
    padded = -(-n // rows) * rows
    assert (padded - n) / n <= 0.01


def test_a_block_survives_json():
    block = Block("<f2", (3, 4), 3, (17,), "0" * 16)
    assert Block.from_json(block.to_json()) == block


@pytest.mark.parametrize("keep", [0, 1, 1000, 20000])
def test_a_file_that_ends_early_is_damaged(tmp_path, keep):
    path, index = written(tmp_path, {"layers/a": noise(100, 100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedError, match="is damaged in 'index'"), reading_shard(path, index):
        pass


def test_memory_that_holds_the_right_values_already_does_not_hide_a_cut(tmp_path):
    array = noise(100, 100)
    path, index = written(tmp_path, {"layers/a": array})
    data = path.read_bytes()
    with reading_shard(path, index) as reader:
        path.write_bytes(data[: data.index(array[60].tobytes())])
        with pytest.raises(DamagedError, match="is damaged in 'layers/a'"):
            reader.read("layers/a", into=array.copy())


def test_a_damaged_array_is_named_with_the_file_and_the_remedy(tmp_path):
    array = noise(100, 100)
    path, index = written(tmp_path, {"layers/a": array, "layers/b": -array})
    data = bytearray(path.read_bytes())
    data[data.index(array[50].tobytes())] ^= 1
    path.write_bytes(data)
    with reading_shard(path, index) as reader:
        np.testing.assert_array_equal(reader.read("layers/b"), -array)
        with pytest.raises(DamagedError, match=r"shard.h5 is damaged in 'layers/a'.*cache prune --damaged"):
            reader.read("layers/a")


def test_an_absent_file_is_named(tmp_path):
    block = Block("|u1", (1,), 1, (0,), "0" * 16)
    with pytest.raises(DamagedError, match=r"gone.h5 is missing"), reading_shard(tmp_path / "gone.h5", block):
        pass
