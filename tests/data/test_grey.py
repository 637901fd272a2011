import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from transferkit.core.errors import UnreadableImageError
from transferkit.data.arrays import from_torch_dataset
from transferkit.data.decoding import decode, rgb
from transferkit.data.grey import Grey, grey_warnings, observed_greys


def encoded(values, kind="TIFF", **options):
    file = BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def plain_tiff(values, bits, sample_format, photometric=1):
    """An uncompressed little-endian TIFF of one row, written out: Pillow cannot save every kind."""
    values = np.asarray(values)
    data = packed(values.tolist()) if bits == 12 else values.tobytes()
    entries = [
        (256, 4, len(values)),
        (257, 4, 1),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (277, 3, 1),
    ]
    entries += [(278, 4, 1), (279, 4, len(data)), (339, 3, sample_format)]
    offset = 8 + 2 + 12 * (len(entries) + 1) + 4
    entries = sorted([*entries, (273, 4, offset)])
    fields = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + struct.pack("<I", 0) + data


def packed(values):
    """Pack two values of 12 bits in three bytes, the first one first."""
    pairs = zip(values[::2], values[1::2], strict=True)
    return b"".join(((first << 12) | second).to_bytes(3, "big") for first, second in pairs)


def row_of(data):
    return decode(data)[0, :, 0].tolist()


RAMP = [0, 64, 128, 255]
UNSIGNED, SIGNED, FLOATING = 1, 2, 3


@pytest.mark.parametrize(
    ("dtype", "sample_format"),
    [("<i2", SIGNED), ("<i4", SIGNED), ("<u4", UNSIGNED), ("<f4", FLOATING)],
)
def test_values_within_8_bits_are_kept_in_any_type(dtype, sample_format):
    values = np.array(RAMP, dtype)
    assert row_of(plain_tiff(values, 8 * values.itemsize, sample_format)) == RAMP


def test_whole_numbers_saved_by_pillow_are_kept():
    """Users of scikit-image and labelme save such images; Pillow's ``convert("RGB")`` agrees."""
    values = np.arange(256, dtype=np.int32).reshape(16, 16)
    for kind in (values, values.astype(np.float32)):
        data = encoded(kind)
        assert (decode(data) == np.asarray(Image.open(BytesIO(data)).convert("RGB"))).all()
        assert decode(data).mean() == 127.5


@pytest.mark.parametrize(
    ("dtype", "sample_format"), [("<i4", SIGNED), ("<u4", UNSIGNED), ("<f4", FLOATING), ("<u2", UNSIGNED)]
)
def test_values_within_16_bits_are_scaled_in_any_type(dtype, sample_format):
    values = np.array([0, 128, 129, 32896, 65535], dtype)
    assert row_of(plain_tiff(values, 8 * values.itemsize, sample_format)) == [0, 0, 1, 128, 255]


def test_unsigned_16_bit_grey_is_scaled_whatever_its_values_are():
    assert row_of(encoded(np.array([RAMP], np.uint16), "PNG")) == [0, 0, 0, 1]
    assert row_of(plain_tiff(np.array(RAMP, "<u2"), 16, UNSIGNED)) == [0, 0, 0, 1]


@pytest.mark.parametrize(("white", "expected"), [(65535, [0, 1, 128]), (4095, [0, 16, 255])])
def test_a_pgm_file_declares_its_white(white, expected):
    values = {65535: [0, 257, 32896], 4095: [0, 257, 4095]}[white]
    assert row_of(b"P5 3 1 %d\n" % white + np.array(values, ">u2").tobytes()) == expected
    assert row_of(b"P2 3 1 %d\n%d %d %d\n" % (white, *values)) == expected


def test_grey_of_12_bits_in_a_tiff_of_12_bits_is_scaled_to_its_own_white():
    assert row_of(plain_tiff([0, 2048, 4095, 16], 12, UNSIGNED)) == [0, 128, 255, 1]


@pytest.mark.parametrize(("dtype", "white"), [("<u2", 65535), ("u1", 255)])
def test_a_tiff_whose_white_is_zero_is_inverted(dtype, white):
    values = np.array([0, white // 5, white], dtype)
    assert row_of(plain_tiff(values, 8 * values.itemsize, UNSIGNED, photometric=0)) == [255, 204, 0]


def test_the_scale_survives_a_rotation_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 3
    assert row_of(encoded(np.array([RAMP], np.uint16), "PNG", exif=exif)) == [1, 0, 0, 0]
    exif = Image.Exif()
    exif[0x0112] = 8
    assert decode(encoded(np.array([[0, 65535]], np.uint16), "PNG", exif=exif))[:, 0, 0].tolist() == [255, 0]


def test_fractions_are_scaled_from_0_to_1():
    assert row_of(encoded(np.array([[0, 0.5, 1]], np.float32))) == [0, 128, 255]
    assert row_of(encoded(np.array([[0.1, 0.2]], np.float32))) == [26, 51]
    assert row_of(encoded(np.array([[0, 127.5, 255]], np.float32))) == [0, 128, 255]
    assert row_of(encoded(np.zeros((1, 2), np.float32))) == [0, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.array([0, 2**31 - 1], "<i4"),
            r"^its grey values span 0 … 2.14748e\+09, which is within none of 0 … 255, 0",
        ),
        (
            np.array([-1, 200], "<i4"),
            r"^its grey values span -1 … 200, which is within none of 0 … 255, 0 … 65535: save",
        ),
        (np.array([-1, 200], "<i2"), r"^its grey values span -1 … 200, which is within none of"),
        (np.array([0, 65536], "<i4"), r"span 0 … 65536, which is within none of"),
        (
            np.array([-1, 1], "<f4"),
            r"span -1 … 1, which is within none of 0 … 1, 0 … 255, 0 … 65535: save it as 8 or",
        ),
        (np.array([0, np.nan], "<f4"), r"span nan … nan, which is within none of"),
        (np.array([0, np.inf], "<f4"), r"span 0 … inf, which is within none of"),
    ],
)
def test_other_spans_are_refused_by_name(values, message):
    sample_format = FLOATING if values.dtype.kind == "f" else SIGNED
    with pytest.raises(UnreadableImageError, match=message):
        decode(plain_tiff(values, 8 * values.itemsize, sample_format))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.ones((8, 8), np.float32),
            "only 0 and 1, white on 0 … 1 and almost black on 0 … 255: save it as 8",
        ),
        (np.array([[0, 1]], np.float32), "only 0 and 1"),
        (
            np.array([[0.5, 1.02]], np.float32),
            "span 0.5 … 1.02, slightly more than 0 … 1 and almost black on 0",
        ),
        (
            np.array([[3, 255.5]], np.float32),
            "span 3 … 255.5, slightly more than 0 … 255 and almost black on",
        ),
        (np.array([[3, 300]], np.int32), "span 3 … 300, slightly more than 0 … 255 and almost black on"),
    ],
)
def test_values_that_fit_two_scales_are_refused(values, message):
    """A single image cannot say which one its data set has, and the wrong one shows black or white."""
    with pytest.raises(UnreadableImageError, match=message):
        decode(encoded(values))


def test_a_transparent_value_shows_white_as_with_8_bits():
    eight = encoded(np.array([[10, 117, 200]], np.uint8), "PNG", transparency=117)
    assert row_of(eight) == [10, 255, 200]
    sixteen = np.array([[2570, 30000, 30001, 51400]], np.uint16)
    assert row_of(encoded(sixteen, "PNG", transparency=30000)) == [10, 255, 117, 200]


def test_a_transparent_colour_of_16_bits_shows_white():
    """Pillow keeps the upper 8 bits of a pixel, and of the colour that is transparent the lower ones."""
    image = Image.new("RGB", (2, 1), (0x12, 0x34, 0x56))
    image.putpixel((1, 0), (0x34, 0x56, 0x78))
    image.info["transparency"] = (0x1234, 0x3456, 0x5678)
    assert np.asarray(rgb(image))[0].tolist() == [[255] * 3, [0x34, 0x56, 0x78]]
    assert image.info["transparency"] == (0x1234, 0x3456, 0x5678), "the caller's image is unchanged"


def test_images_of_a_torch_data_set_are_scaled_as_files_are():
    """A torch data set returns Pillow images that were opened from files or made from arrays."""
    pgm = Image.open(BytesIO(b"P5 2 1 65535\n" + np.array([0, 257], ">u2").tobytes()))
    made = Image.fromarray(np.array([[0, 200]], np.int32))
    split = from_torch_dataset([(pgm, 0), (made, 1)], name="pair", split="train")
    assert split.reader.image(0)[0, :, 0].tolist() == [0, 1]
    assert split.reader.image(1)[0, :, 0].tolist() == [0, 200]


def test_how_grey_is_read_is_observed_inside_the_block_only():
    decode(encoded(np.array([[0, 200]], np.int32)))
    with observed_greys() as found:
        decode(encoded(np.array([RAMP], np.uint8), "PNG"))
        decode(encoded(np.array([[0, 4000]], np.uint16), "PNG"))
        decode(encoded(np.array([[0, 0.5]], np.float32)))
    decode(encoded(np.array([[0, 200]], np.int32)))
    assert found == [Grey(True, 4000, 65535), Grey(False, 0.5, 1)]


def test_12_bit_data_in_16_bits_is_warned_of():
    (warning,) = grey_warnings({"a.tif": Grey(True, 4095, 65535), "b.tif": Grey(True, 900, 65535)})
    assert warning.startswith("2 grey images on the scale 0 … 65535 reach at most 4095: they are dark")
    assert not list(grey_warnings({"a.tif": Grey(True, 4095, 65535), "b.tif": Grey(True, 65000, 65535)}))
    assert not list(grey_warnings({"a.tif": Grey(True, 0, 65535)})), "black images say nothing"
    assert not list(grey_warnings({}))


def test_images_of_one_split_read_on_two_scales_are_warned_of():
    greys = {"a.tif": Grey(False, 0.9, 1), "b.tif": Grey(False, 250, 255), "c.tif": Grey(False, 90, 255)}
    (warning,) = grey_warnings(greys)
    assert "read on different scales: 1 as 0 … 1 (such as a.tif), 2 as 0 … 255 (such as b.tif)" in warning
    assert not list(grey_warnings({**greys, "a.tif": Grey(False, 0, 1)})), "black is black on any scale"
    assert not list(grey_warnings({**greys, "a.tif": Grey(True, 65535, 65535)})), "what files declare is right"
