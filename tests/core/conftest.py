"""Fixtures of tests that send requests."""

from tests.data.fixtures import server

__all__ = ["server"]
