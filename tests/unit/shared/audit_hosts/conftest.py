"""Two hosts with audit logs of their own, one S3 server, one Redis server."""

from collections.abc import Iterator

import pytest

from shared.state.objects import StateObjects
from tests.audit_hosts import Host, two_hosts
from tests.object_store import BUCKET, ObjectStore, running_object_store


@pytest.fixture(scope="package")
def store() -> Iterator[ObjectStore]:
    """One server for the tests of this folder."""
    with running_object_store() as running:
        yield running


@pytest.fixture
def hosts(store, tmp_path, servers, request) -> tuple[Host, Host]:
    """Two hosts that share a prefix of this test."""
    objects = StateObjects(f"s3://{BUCKET}/{request.node.name}", store.endpoint_url)
    return two_hosts(tmp_path, objects, servers.broker)
