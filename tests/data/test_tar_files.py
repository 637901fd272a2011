import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from transferkit.core.errors import DataError, UnreadableImageError
from transferkit.data.tar_files import decode_member, opened_tar


@pytest.fixture
def archive(tmp_path):
    """A tar file with one red image of 3 × 2 pixels."""
    png = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(png, "PNG")
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("1.png")
        info.size = len(png.getvalue())
        tar.addfile(info, io.BytesIO(png.getvalue()))
    return path


def test_a_member_is_decoded_at_its_offset(archive):
    with opened_tar(archive) as tar:
        (member,) = tar
    modified_ns = archive.stat().st_mtime_ns
    image = decode_member(archive, member.offset_data, member.size, modified_ns=modified_ns)
    assert np.array_equal(image, np.full((2, 3, 3), [255, 0, 0]))
    with pytest.raises(DataError, match=r"a\.tar changed after it was opened"):
        decode_member(archive, member.offset_data, member.size, modified_ns=modified_ns + 1)
    archive.unlink()
    with pytest.raises(UnreadableImageError, match="No such file"):
        decode_member(archive, member.offset_data, member.size, modified_ns=modified_ns)


@pytest.mark.parametrize("size", [100, 600, 1024])
def test_a_truncated_file_is_an_error(archive, size):
    os.truncate(archive, size)
    with pytest.raises(DataError, match=r"a\.tar cannot be read as an uncompressed tar"), opened_tar(archive) as tar:
        list(tar)
