"""A server that speaks S3, for the tests of shared state."""

from collections.abc import Iterator

import pytest

from tests.object_store import ObjectStore, running_object_store


@pytest.fixture(scope="package")
def store() -> Iterator[ObjectStore]:
    """One server for the tests of this folder."""
    with running_object_store() as running:
        yield running
