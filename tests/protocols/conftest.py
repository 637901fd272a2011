"""Fixtures of tests that read images and data sets."""

from tests.data.fixtures import data_root, make_folder, notes

__all__ = ["data_root", "make_folder", "notes"]
