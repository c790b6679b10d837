"""Fixtures of the tests of the API."""

from tests.unit.api.both_paths import both_ways

__all__ = ["both_ways"]
