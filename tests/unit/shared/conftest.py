"""Fixtures of the tests of `shared`."""

import pytest

from shared.audit import flusher


@pytest.fixture(autouse=True)
def own_flusher(monkeypatch):
    """A flusher of the test's own, which flushes nothing after it.

    Tests replace `os.fdatasync` and count its calls.
    """
    found = flusher._Flusher()
    monkeypatch.setattr(flusher, "_flusher", found)
    yield
    found._due.clear()
