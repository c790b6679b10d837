"""What tests of the records in Redis share."""

from collections.abc import Iterator

import pytest

from tests.conftest import Servers, running_servers


@pytest.fixture(scope="package")
def session_servers() -> Iterator[Servers]:
    """A broker and a cache of their own: threads of other tests' APIs write to the shared ones."""
    with running_servers() as servers:
        yield servers
