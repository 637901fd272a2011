import io
import sys

import numpy as np
import pytest
from PIL import Image

from tests.reference.duplicates import close_pairs, hash_bits
from transferkit.data.image_hashes import (
    MAX_BITS,
    ImageHashes,
    close_hashes,
    contrast,
    duplicates,
    hamming,
    perceptual_hash,
)
from transferkit.protocols.dataset_catalog import open_dataset


def hashes(images):
    filled = ImageHashes.empty(len(images))
    for row, image in enumerate(images):
        filled.put(row, image)
    return filled


def scenes(n, *, seed=0, size=(120, 90)):
    """Distinct smooth pictures with some grain."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(int)
        pictures.append((smooth + rng.integers(-8, 9, smooth.shape)).clip(0, 255).astype(np.uint8))
    return pictures


def copy(image, *, scale=1.0, quality=None):
    picture = Image.fromarray(image)
    size = (round(picture.width * scale), round(picture.height * scale))
    picture = picture.resize(size, Image.Resampling.BICUBIC) if scale != 1 else picture
    if quality:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        picture = Image.open(file)
    return np.asarray(picture.convert("RGB"))


def random_hashes(n, *, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**64, n, dtype=np.uint64)


@pytest.fixture(params=["faiss", "numpy"])
def search(request, monkeypatch):
    """Return each of the two ways to search."""
    if request.param == "numpy":
        monkeypatch.setitem(sys.modules, "faiss", None)
    return request.param


def test_the_hash_is_the_reference(photo):
    for image in [photo, *scenes(2)]:
        bits = np.unpackbits(perceptual_hash(image).reshape(1).view(np.uint8))
        np.testing.assert_array_equal(bits, hash_bits(image))


def test_half_the_bits_are_set(photo):
    assert int(perceptual_hash(photo)).bit_count() == 32


def test_brightness_changes_no_bit():
    image = scenes(1)[0] // 2
    assert hamming(perceptual_hash(image), perceptual_hash(image + 60)) <= 2  # by rounding


@pytest.mark.parametrize("numpy", [1, 2])
def test_hamming_is_the_reference(numpy, monkeypatch):
    if numpy == 1:
        monkeypatch.delattr(np, "bitwise_count", raising=False)
    a, b = random_hashes(50, seed=0), random_hashes(50, seed=1)
    expected = [bin(int(x) ^ int(y)).count("1") for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(hamming(a, b), expected)
    assert hamming(a[:1], ~a[:1]) == [64]


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize("max_bits", [0, 3, 24])
def test_close_hashes_are_the_reference(max_bits, monkeypatch):
    monkeypatch.setattr("transferkit.data.image_hashes._QUERIES", 7)
    monkeypatch.setattr("transferkit.data.image_hashes._BANK", 11)
    bank = random_hashes(40, seed=0)
    flips = np.array([0, 1, 0b111, 0b1111, 2**63 + 5], np.uint64)
    queries = np.concatenate([random_hashes(20, seed=1), *(bank[:6] ^ flip for flip in flips)])
    found = {
        pair
        for rows, matches in close_hashes(queries, bank, max_bits=max_bits)
        for pair in zip(rows.tolist(), matches.tolist(), strict=True)
    }
    assert found == close_pairs(queries, bank, max_bits)
    assert found


@pytest.mark.usefixtures("search")
def test_nothing_has_no_duplicates():
    none = np.zeros(0, np.uint64)
    assert list(close_hashes(none, random_hashes(3, seed=0), max_bits=6)) == []
    assert list(close_hashes(random_hashes(3, seed=0), none, max_bits=6)) == []
    assert len(duplicates(ImageHashes.empty(0), hashes(scenes(2)))) == 0
    assert len(duplicates(ImageHashes.empty(0))) == 0


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize("change", [{"quality": 90}, {"quality": 40}, {"scale": 0.5}, {"scale": 1.7}])
def test_copies_are_found_beside_their_originals(change):
    originals = scenes(40)
    pairs = duplicates(hashes(originals), hashes([copy(image, **change) for image in originals]))
    np.testing.assert_array_equal(pairs.rows, np.stack([np.arange(40)] * 2, 1))
    assert not pairs.exact.any()
    assert pairs.bits.max() <= MAX_BITS


@pytest.mark.parametrize(
    ("change", "least"),
    [({"quality": 75}, 0.98), ({"scale": 0.5}, 0.99), ({"scale": 1.5}, 0.99), ({"quality": 30}, 0.9)],
)
@pytest.mark.parametrize("name", ["photos", "digits", "tissue", "sketches", "materials"])
def test_copies_of_embedded_images_are_found(name, change, least, tmp_path_factory):
    images = embedded(name, tmp_path_factory)[::4]
    pairs = duplicates(hashes(images), hashes([copy(image, **change) for image in images]))
    assert (pairs.rows[:, 0] == pairs.rows[:, 1]).sum() >= least * len(images)


@pytest.mark.parametrize("name", ["photos", "digits", "tissue", "sketches", "materials"])
def test_distinct_embedded_images_are_no_duplicates(name, tmp_path_factory):
    """None of the 125 000 pairs of a set is reported, although some have similar hashes."""
    assert len(duplicates(hashes(embedded(name, tmp_path_factory)))) == 0


def embedded(name, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "embedded"
    splits = open_dataset(f"mini/{name}", root=root).splits.values()
    return [split.reader.image(row) for split in splits for row in range(len(split))]


def test_pixels_decide_what_is_exact():
    one, two, three = scenes(3)
    twice = one.copy()
    twice[0, 0, 0] ^= 1
    pairs = duplicates(hashes([one, two]), hashes([three, one, twice, two.transpose(1, 0, 2)]))
    assert pairs.rows.tolist() == [[0, 1], [0, 2]]
    assert pairs.exact.tolist() == [True, False]


def test_the_same_bytes_of_another_shape_are_another_image():
    image = scenes(1)[0]
    pairs = duplicates(hashes([image]), hashes([image.reshape(120, 90, 3)]))
    assert not pairs.exact.any()


def test_every_copy_is_reported_once():
    one, two = scenes(2)
    pairs = duplicates(hashes([one, two, one, one]))
    assert pairs.rows.tolist() == [[0, 2], [0, 3]]
    assert pairs.exact.all()
    near = duplicates(hashes([one, two, copy(one, quality=90)]))
    assert near.rows.tolist() == [[0, 2]]


def test_images_without_contrast_are_compared_by_their_pixels():
    rng = np.random.default_rng(0)
    blank = [rng.integers(250, 256, (40, 40, 3), dtype=np.uint8) for _ in range(20)]
    pairs = duplicates(hashes([*blank, blank[3]]))
    assert pairs.rows.tolist() == [[3, 20]]


def test_contrast_is_the_distance_from_the_mean_colour():
    flat = np.full((1, 16, 16, 3), 7, np.uint8)
    halves = flat.copy()
    halves[:, :8] = 27
    np.testing.assert_allclose(contrast(np.concatenate([flat, halves])), [0, 10])


def test_the_order_of_images_changes_nothing():
    images = scenes(10)
    images += [copy(image, quality=80) for image in images[:4]]
    order = np.random.default_rng(0).permutation(len(images))
    plain = {frozenset(pair) for pair in duplicates(hashes(images)).rows.tolist()}
    mixed = duplicates(hashes([images[i] for i in order])).rows
    assert {frozenset(order[pair].tolist()) for pair in mixed} == plain
    assert len(plain) == 4
