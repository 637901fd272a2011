"""Fixtures of tests that read images and data sets."""

from tests.data.fixtures import data_root, huge_png, make_folder, notes, photo, server

__all__ = ["data_root", "huge_png", "make_folder", "notes", "photo", "server"]
