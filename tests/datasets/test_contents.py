import os

import pytest

from tests.datasets.trees import picture, table
from transferkit.core.errors import DataError
from transferkit.datasets.contents import Contents, class_folders, images_by_name, images_by_path_end


def test_hidden_files_are_ignored(tmp_path):
    picture(tmp_path / "a/1.jpg", 0)
    picture(tmp_path / "__MACOSX/a/1.jpg", 0)
    picture(tmp_path / "a/.2.jpg", 0)
    (tmp_path / "a/notes.txt").write_text("x")
    contents = Contents.of(tmp_path)
    assert contents.files == ("a/1.jpg", "a/notes.txt")
    assert list(contents.images) == ["a/1.jpg"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be listed: No such file"):
        Contents.of(tmp_path / "none")


def test_names_that_are_no_text(tmp_path):
    picture(tmp_path / os.fsdecode(b"\xff") / "1.jpg", 0)
    with pytest.raises(DataError, match="a name that is not valid UTF-8"):
        Contents.of(tmp_path)


def test_two_roots_that_disagree(tmp_path):
    for top in ("2750", "EuroSAT_RGB"):
        picture(tmp_path / top / "River/1.jpg", 0)
    contents = Contents.of(tmp_path)
    words = r"the same image twice, 2750/River/1\.jpg and EuroSAT_RGB/River/1\.jpg\. Keep one"
    for look in (lambda: images_by_path_end(contents, 2), lambda: images_by_name(contents)):
        with pytest.raises(DataError, match=words):
            look()


def test_a_file_in_two_places(tmp_path):
    for place in ("a", "b"):
        table(tmp_path / place / "labels.csv", ("x",), [])
    with pytest.raises(DataError, match=r"has labels\.csv in 2 folders, such as a/labels\.csv and b/labels\.csv"):
        Contents.of(tmp_path).find("labels.csv")


def test_a_file_that_is_missing(tmp_path):
    contents = Contents.of(tmp_path)
    assert contents.find("labels.csv") is None
    with pytest.raises(
        DataError, match=r"lacks the file a\.csv or b\.csv: it is another data set.*prepare the complete data set\."
    ):
        contents.file("a.csv", "b.csv")


def test_tables(tmp_path):
    table(tmp_path / "t.csv", ("a", "b"), [(1, 2)])
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    (tmp_path / "broken.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    contents = Contents.of(tmp_path)
    assert contents.table("t.csv", columns=("a",)) == [{"a": "1", "b": "2"}]
    assert contents.table("bom.csv", columns=("a", "b")) == [{"a": "1", "b": "2"}]
    with pytest.raises(DataError, match=r"t\.csv has no column 'c', only a, b\. Needed are a, c: take"):
        contents.table("t.csv", columns=("a", "c"))
    for read in (lambda: contents.table("broken.csv", columns=("a",)), lambda: contents.lines("broken.csv")):
        with pytest.raises(DataError, match=r"broken\.csv cannot be read"):
            read()


def test_no_class_folders(tmp_path):
    picture(tmp_path / "only/1.jpg", 0)
    with pytest.raises(DataError, match="lacks class folders with images"):
        class_folders(Contents.of(tmp_path))


def test_what_to_do_where_a_file_is_missing(tmp_path):
    """``prepare`` does not change an existing folder, so users have to move it away first."""
    for name, end in (("dtd", "data set with: transferkit datasets prepare dtd"), ("mine", "data set.")):
        (tmp_path / name).mkdir()
        with pytest.raises(DataError, match=r"lacks the file train1\.txt: .* Move it away, and prepare") as caught:
            Contents.of(tmp_path / name).file("train1.txt")
        assert str(caught.value).endswith(end)
