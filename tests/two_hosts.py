"""A whole service, and a second host that shares its servers and an S3 server."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.cluster.hosts import Host
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from tests.conftest import START_TIMEOUT_S, Service, running_service, short_folder, wait_until
from tests.object_store import BUCKET, ObjectStore, running_object_store
from tests.redis_cluster import LOOPBACK
from tests.unit.model_store import small_models


@dataclass(frozen=True)
class TwoHosts:
    """All processes on the first host, some on the second."""

    first: Service
    second: Host
    store: ObjectStore

    @property
    def urls(self) -> tuple[str, str]:
        """The addresses of both APIs."""
        return self.first.url, self.second.url


@contextlib.contextmanager
def running_two_hosts(folder: Path, *kinds: str, **settings: str) -> Iterator[TwoHosts]:
    """Start both hosts, with a small model.

    Args:
        folder: for the models of the first host.
        kinds: processes of the second host.
        settings: of both.
    """
    version = save_bundle(small_models.train(), folder)
    ModelRegistry(folder).activate(version.id, by="before")
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(running_object_store())
        shared = {
            "STATE_URL": f"s3://{BUCKET}/state",
            "BLOB_ENDPOINT_URL": store.endpoint_url,
            "INTERACTIVE_WORKERS": "1",
            "BULK_PROCESSES": "1",
            **settings,
        }
        home = stack.enter_context(short_folder())
        first = stack.enter_context(running_service(home, folder, **shared))
        servers = {"REDIS_URL": first.settings.redis_url, "CACHE_URL": first.settings.cache_url}
        second = Host("second", LOOPBACK, stack.enter_context(short_folder()), shared | servers)
        stack.callback(second.kill)
        second.start(*kinds)
        wait_until(lambda: _is_ready(second.url), START_TIMEOUT_S, "the second API is ready")
        yield TwoHosts(first, second, store)


def _is_ready(url: str) -> bool:
    try:
        found: dict[str, Any] = httpx.get(f"{url}/readyz", timeout=5.0).json()
    except httpx.HTTPError:
        return False
    return bool(found["status"] == "ready")
