"""The hosts of a run and the servers that they share."""

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster.hosts import Host
from benchmarks.cluster.network import Network, Place
from benchmarks.processes import ROOT, environment
from scripts.ports import reserve_port
from shared.redis import keys
from shared.redis.connections import RedisClient, connect
from shared.redis.serving import ServingVersions
from tests.conftest import wait_until
from tests.object_store import AWS_VARIABLES, BUCKET
from tests.redis_cluster import SentinelService, running_sentinels, running_server
from tests.rolling_load import is_ready

START_TIMEOUT_S = 180.0
BULK_PROCESSES = 2
WORKER_KINDS = ("interactive", "bulk")
SMALL_DISK_MB = 600
SETTINGS = {
    "BULK_PROCESSES": str(BULK_PROCESSES),
    "BATCH_CHUNK_ROWS": "5000",
    "DRAIN_DELAY_S": "4",
    "MAX_WAIT_S": "20",
    "LC_ALL": "C.UTF-8",
    **AWS_VARIABLES,
}
CACHE_OPTIONS = ("--maxmemory", "200mb", "--maxmemory-policy", "allkeys-lru")


@dataclass(frozen=True)
class ObjectServer:
    """The S3 server, a process of its own."""

    place: Place
    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.place.address}:{self.port}"


@dataclass(frozen=True)
class Cluster:
    """Two hosts with an API, two with workers, and what they share."""

    folder: Path
    network: Network
    apis: tuple[Host, Host]
    workers: tuple[Host, Host]
    store: ObjectServer
    redis_place: Place
    redis_url: str
    sentinels: SentinelService | None

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts of the service."""
        return (*self.apis, *self.workers)

    @property
    def broker(self) -> RedisClient:
        """A client of the broker."""
        return connect(self.redis_url)

    def serving(self) -> list[str | None]:
        """The version of the model that each process says it serves."""
        client = self.broker
        with contextlib.closing(client):
            return list(ServingVersions(client).live().values())

    def registrations(self) -> set[bytes]:
        """The registrations of the workers of single cars."""
        client = self.broker
        with contextlib.closing(client):
            members: list[bytes] = client.zrange(keys.WORKERS, 0, -1)
        return {one for one in members if one.startswith(b"interactive|")}

    def is_complete(self) -> bool:
        """Whether every API is ready and every process has a model."""
        processes = len(self.apis) + len(self.workers) * (1 + BULK_PROCESSES)
        return all(api.is_ready() for api in self.apis) and len(self.serving()) >= processes

    def await_complete(self) -> None:
        """Wait until everything serves.

        Raises:
            AssertionError: it does not.
        """
        wait_until(self.is_complete, START_TIMEOUT_S, "every process serves")

    @contextlib.contextmanager
    def without_store(self) -> Iterator[None]:
        """Let no host reach the S3 server."""
        if not self.network.are_isolated:
            self.store.process.send_signal(signal.SIGSTOP)
            try:
                yield
            finally:
                self.store.process.send_signal(signal.SIGCONT)
            return
        with self.cut(self.store.place, *self.hosts):
            yield

    @contextlib.contextmanager
    def cut(self, server: Place, *hosts: Host) -> Iterator[None]:
        """Let these hosts not reach a server."""
        places = [host.place for host in hosts]
        self.network.cut(server, places)
        try:
            yield
        finally:
            self.network.heal(server, places)


@contextlib.contextmanager
def running_store(folder: Path, place: Place) -> Iterator[ObjectServer]:
    """Run the S3 server."""
    port = reserve_port()
    with (folder / "s3.log").open("wb") as log:
        program = ("-m", "benchmarks.cluster.object_store", place.address, str(port))
        process = subprocess.Popen(
            [*place.prefix, sys.executable, *program],
            cwd=ROOT,
            env=environment(AWS_VARIABLES),
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the S3 server did not start: {(folder / 's3.log').read_text()}")
        yield ObjectServer(place, process, port)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running_cluster(
    folder: Path, models: Path, network: Network, *, with_sentinels: bool = False
) -> Iterator[Cluster]:
    """Start servers and hosts with new homes; kill all of them at the end.

    Args:
        folder: new folder of the run, with a short path.
        models: a registry with an active model, the beginning of the shared one.
        network: makes the places.
        with_sentinels: three Redis servers with sentinels, which jobs are replicated to, as broker.
    """
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        redis_place = network.add("redis")
        store = stack.enter_context(running_store(folder, network.add("store")))
        cache = stack.enter_context(running_server(folder, *CACHE_OPTIONS, place=redis_place))
        shared = {"CACHE_URL": cache.url, **SETTINGS, **_store_settings(store)}
        sentinels = None
        if with_sentinels:
            places = (redis_place, network.add("redis2"), network.add("redis3"))
            sentinels = stack.enter_context(running_sentinels(folder, places))
            shared |= {"REDIS_URL": sentinels.url, "REDIS_WAIT_REPLICAS": "1"}
        else:
            broker = stack.enter_context(running_server(folder, place=redis_place))
            shared |= {"REDIS_URL": broker.url}
        apis, workers = _hosts(folder, network, shared)
        cluster = Cluster(
            folder, network, apis, workers, store, redis_place, shared["REDIS_URL"], sentinels
        )
        for host in cluster.hosts:
            stack.callback(host.kill)
        _start(cluster, models)
        yield cluster


def _store_settings(store: ObjectServer) -> Mapping[str, str]:
    return {
        "STATE_URL": f"s3://{BUCKET}/state",
        "BLOB_URL": f"s3://{BUCKET}/batches",
        "BLOB_ENDPOINT_URL": store.url,
    }


def _hosts(
    folder: Path, network: Network, env: Mapping[str, str]
) -> tuple[tuple[Host, Host], tuple[Host, Host]]:
    """Two hosts with an API, two with workers and the same name; the last has a small disk."""
    names = {"api1": "api1", "api2": "api2", "worker1": "worker", "worker2": "worker"}
    made = []
    for name, host_name in names.items():
        home = folder / name
        home.mkdir()
        disk = (home, SMALL_DISK_MB) if name == "worker2" else None
        made.append(Host(name, network.add(host_name, disk), folder, env))
    return (made[0], made[1]), (made[2], made[3])


def _start(cluster: Cluster, models: Path) -> None:
    """Start the hosts: the first one brings the model, the others fetch it."""
    first = cluster.apis[0]
    shutil.copytree(models, first.models)
    first.command("first-model")
    for version in sorted(models.glob("*/manifest.json")):
        first.command("models", "publish", version.parent.name)
    scopes = [word for name in ("predict", "bulk", "admin") for word in ("--scope", name)]
    key = first.command("key", "create", "cluster", *scopes)
    for host in cluster.hosts:
        host.key = key
    first.start("api", "beat")
    wait_until(lambda: is_ready(first.url), START_TIMEOUT_S, "the first API")
    cluster.apis[1].start("api")
    for worker in cluster.workers:
        worker.start(*WORKER_KINDS)
    cluster.await_complete()
