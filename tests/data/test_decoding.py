import sys
import warnings
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from torch.testing import assert_close

from transferkit.core.errors import UnreadableImageError
from transferkit.data import decoding
from transferkit.data.decoding import IMAGE_EXTENSIONS, MAX_PIXELS, decode, rgb, unreadable


def encoded(image, kind="PNG", **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(image):
    return image[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()


def test_a_lossless_file_comes_back(photo, tmp_path):
    path = tmp_path / "a b'ü.png"
    path.write_bytes(encoded(photo))
    assert (decode(path) == photo).all()
    assert (decode(path.read_bytes()) == photo).all()
    assert decode(path).flags.writeable
    assert decode(path).dtype == np.uint8


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "JPEG2000"])
def test_every_format_resembles_what_was_saved(photo, kind):
    decoded = decode(encoded(photo, kind))
    assert decoded.shape == photo.shape
    assert np.abs(decoded.astype(int) - photo).mean() < 12


def test_pixels_of_a_wide_gamut_of_modes(photo):
    grey = Image.fromarray(photo).convert("L")
    as_rgb = np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)
    assert (decode(encoded(grey)) == as_rgb).all()
    assert (decode(encoded(grey.convert("1"))) == np.asarray(grey.convert("1").convert("RGB"))).all()
    palette = Image.fromarray(photo).quantize(16)
    assert (decode(encoded(palette)) == np.asarray(palette.convert("RGB"))).all()
    cmyk = Image.fromarray(photo).convert("CMYK")
    assert np.abs(decode(encoded(cmyk, "TIFF")).astype(int) - photo).max() <= 1
    assert np.abs(decode(encoded(cmyk, "JPEG", quality=95)).astype(int) - photo).mean() < 6


def test_sixteen_bit_grey_is_scaled_not_clipped():
    values = np.array([[0, 128, 129, 257, 32896, 65535]], dtype=np.uint16)
    assert decode(encoded(values))[0].tolist() == [[v] * 3 for v in (0, 0, 1, 1, 128, 255)]
    assert decode(b"P5 2 1 65535\n" + np.array([0, 32896], ">u2").tobytes())[0, 1].tolist() == [128] * 3


def test_big_endian_sixteen_bit_grey():
    image = Image.frombytes("I;16B", (3, 1), np.array([0, 32896, 65535], dtype=">u2").tobytes())
    assert [rgb(image).getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    assert decode(encoded(image, "TIFF"))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_shows_white(mode):
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 51))
    assert decode(encoded(image.convert(mode)))[0, :, 0].tolist() == [0, 255, 204]


def test_transparent_colours_of_a_palette_and_of_rgb_show_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert decode(encoded(palette, transparency=1))[0].tolist() == [[10, 20, 30], [255] * 3]
    plain = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    assert decode(encoded(plain, transparency=(4, 5, 6)))[0].tolist() == [[1, 2, 3], [255] * 3]


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone(orientation):
    upright = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    undo = {  # what the sensor saw, from what the scene was: the definition in the EXIF standard
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation]))
    assert (decode(encoded(stored, exif=exif)) == upright).all()
    assert (decode(encoded(stored, "TIFF", exif=exif)) == upright).all()


def test_a_jpeg_held_upright():
    """With orientation 6 the camera was turned: the file's first row is the scene's right column."""
    stored = np.zeros((16, 32, 3), dtype=np.uint8)
    stored[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode(encoded(stored, "JPEG", exif=exif, quality=95))
    assert decoded.shape == (32, 16, 3)
    assert decoded[:, 10:].min() > 200
    assert decoded[:, :6].max() < 50


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_is_no_reason(photo, kind, exif):
    assert decode(encoded(photo, kind, exif=exif)).shape == photo.shape


def test_empty_files(tmp_path):
    (tmp_path / "empty.jpg").touch()
    for source in (tmp_path / "empty.jpg", b""):
        with pytest.raises(UnreadableImageError, match=r"^the file is empty$"):
            decode(source)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.9, 0.5])
def test_truncated_files(photo, kind, kept):
    data = encoded(photo, kind)
    reason = decoded_or_reason(data[: int(len(data) * kept)])
    assert isinstance(reason, str)
    assert 0 < len(reason) < 120
    assert reason == decoded_or_reason(data[: int(len(data) * kept)])  # the same words each time


def test_text_that_is_called_an_image(tmp_path):
    path = tmp_path / "text.jpg"
    path.write_text("<html>404 Not Found</html>" * 40)
    with pytest.raises(UnreadableImageError, match=r"^not an image of a known format$"):
        decode(path)


def test_files_that_a_program_would_have_to_draw(tmp_path):
    path = tmp_path / "drawing.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(UnreadableImageError, match=r"^not an image of a known format$"):
        decode(path)


def test_absent_files_and_folders(tmp_path):
    with pytest.raises(UnreadableImageError, match=r"^No such file or directory$"):
        decode(tmp_path / "absent.jpg")
    with pytest.raises(UnreadableImageError, match=r"^Is a directory$"):
        decode(tmp_path)


def test_absurd_sizes_are_refused_by_the_header(huge_png):
    with pytest.raises(UnreadableImageError, match=f"^it declares more than {MAX_PIXELS} pixels"):
        decode(huge_png)


def test_the_limit_is_ours_and_not_pillows():
    """The size is between Pillow's two limits, where Pillow would only warn."""
    side = int(MAX_PIXELS**0.5) + 2
    assert Image.MAX_IMAGE_PIXELS < side * side < 2 * Image.MAX_IMAGE_PIXELS
    header = b"P5 %d %d 255\n" % (side, side)
    with pytest.raises(UnreadableImageError, match="it declares more than"):
        decode(header + b"\0" * 64)


def test_nothing_is_warned_of_and_no_setting_of_pillow_is_touched(photo):
    before = (Image.MAX_IMAGE_PIXELS, sys.modules["PIL.ImageFile"].LOAD_TRUNCATED_IMAGES)
    palette = Image.fromarray(photo).quantize(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(encoded(palette, transparency=b"\0\x80\xff\xff"))  # Pillow warns of such palettes
        decode(encoded(photo, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x09\0\0\0\xff\xff\0\0"))
    assert before == (Image.MAX_IMAGE_PIXELS, sys.modules["PIL.ImageFile"].LOAD_TRUNCATED_IMAGES)


def test_reasons_are_never_empty():
    assert str(unreadable(ValueError())) == "ValueError"
    assert str(unreadable(OSError("broken data stream"))) == "broken data stream"


def decoded_or_reason(data):
    try:
        return decode(data)
    except UnreadableImageError as error:
        return str(error)


def test_any_bytes_are_an_image_or_have_a_reason(photo):
    rng = np.random.default_rng(0)
    whole = bytearray(encoded(photo, "JPEG", exif=Image.Exif()))
    for _ in range(200):
        data = bytearray(whole)
        for place in rng.integers(2, len(data), 6):
            data[place] = rng.integers(256)
        outcome = decoded_or_reason(bytes(data))
        assert "0x" not in outcome if isinstance(outcome, str) else outcome.shape[2] == 3


def test_extensions_are_lower_case():
    assert {".jpg", ".png", ".tif"} <= IMAGE_EXTENSIONS
    assert all(one == one.lower() and one.startswith(".") for one in IMAGE_EXTENSIONS)


def test_reference_rounding_of_every_sixteen_bit_value():
    values = np.arange(65536, dtype=np.uint16)[None]
    assert_close(decode(encoded(values))[0, :, 0], np.rint(values[0] * (255 / 65535)).astype(np.uint8), atol=0, rtol=0)


def by_pillow(data):
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


@pytest.fixture
def fast(monkeypatch):
    """Record the sizes of the JPEGs that the faster decoder receives."""
    calls = []
    pixels = decoding._jpeg_pixels

    def counted(data):
        calls.append(len(data))
        return pixels(data)

    if not decoding._decoders_agree():
        pytest.skip("torchvision decodes JPEG otherwise than Pillow on this machine")
    monkeypatch.setattr(decoding, "_jpeg_pixels", counted)
    return calls


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"quality": 30}])
@pytest.mark.parametrize("size", [(60, 80), (1, 1), (17, 33), (8, 7)])
def test_the_faster_decoder_gives_the_same_pixels(photo, fast, subsampling, options, size):
    data = encoded(photo[: size[0], : size[1]], "JPEG", subsampling=subsampling, **options)
    assert (decode(data) == by_pillow(data)).all()
    assert decode(data).flags.writeable
    assert decode(data).flags.c_contiguous
    assert len(fast) == 3


def test_odd_jpegs_are_left_to_pillow(photo, fast):
    image = Image.fromarray(photo)
    exif = Image.Exif()
    exif[0x0112] = 6
    for odd in (
        encoded(image.convert("L"), "JPEG"),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image, "JPEG", exif=exif),
        encoded(image, "JPEG", keep_rgb=True),  # which says so in Adobe's marker
    ):
        decode(odd)
    assert not fast
    assert (decode(encoded(image, "JPEG", keep_rgb=True, quality=100)) == photo).mean() > 0.5
    exif[0x0112] = 1
    decode(encoded(image, "JPEG", exif=exif))
    assert len(fast) == 1


def test_where_decoders_differ_pillow_decodes(photo, monkeypatch):
    data = encoded(photo, "JPEG")
    pixels = decoding._jpeg_pixels
    for other in (lambda data: pixels(data) ^ 1, lambda data: pixels(data)[:-1]):
        monkeypatch.setattr(decoding, "_jpeg_pixels", other)
        decoding._decoders_agree.cache_clear()
        assert not decoding._decoders_agree()
        assert (decode(data) == by_pillow(data)).all()

    def absent(data):
        raise RuntimeError("decode_jpeg: torchvision not compiled with libjpeg support")

    monkeypatch.setattr(decoding, "_jpeg_pixels", absent)
    decoding._decoders_agree.cache_clear()
    assert not decoding._decoders_agree()
    monkeypatch.undo()
    decoding._decoders_agree.cache_clear()


def test_pillow_decodes_a_jpeg_that_the_faster_decoder_rejects(photo, fast):
    data = encoded(photo, "JPEG")
    with pytest.raises(UnreadableImageError, match="image file is truncated"):
        decode(data[: len(data) // 2])
    assert len(fast) == 1


def test_a_damaged_jpeg_has_one_verdict(photo, fast, monkeypatch, capfd):
    """For any damage, both decoders return the same pixels or give the same reason."""
    rng = np.random.default_rng(0)
    sources = [encoded(photo, "JPEG", progressive=progressive) for progressive in (False, True)]
    for trial in range(150):
        data = bytearray(sources[trial % 2])
        data[int(rng.integers(2, len(data)))] = int(rng.integers(256))
        outcomes = []
        for plain in (True, False):
            with monkeypatch.context() as patch:
                if not plain:
                    patch.setattr(decoding, "_is_plain_jpeg", lambda image: False)
                try:
                    outcomes.append(decode(bytes(data)).tolist())
                except UnreadableImageError as error:
                    outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]
    assert len(fast) > 100
