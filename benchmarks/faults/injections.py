"""The faults: each function breaks a running service and returns when the fault ended, Unix time.

The numbers in `FAULTS` are for the table. A fault that ends by itself (a killed process is
replaced by the supervisor) ends at the kill.
"""

import contextlib
import json
import random
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import redis

from benchmarks.faults.check import replay_dead_letters
from benchmarks.faults.load import MIXED, ONLY_BATCHES, Connection, Mix, rows_csv
from benchmarks.faults.running_service import RunningService, wait_until
from model_store.registry.registry import ModelRegistry

FROZEN_S, FROZEN_BROKER_S = 8.0, 30.0
OUTAGE_S = 8.0
IDLE_CONNECTIONS, NEW_CONNECTION_S = 1_500, 5.0
POISON_ROWS, POISON_S = 2_000, 15.0
QUIET_S = 8.0
FLOOD_ROWS, FLOOD_BATCHES = 20_000, 15
MEMORY_LEFT = 6_000_000
"""Bytes that the broker may still take while its memory is full."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Args:
        name: in the table.
        inject: causes and ends it; returns when it ended.
        mix: the load meanwhile.
        is_quick: whether `make test` tries it.
    """

    name: str
    inject: Callable[[RunningService], float]
    mix: Mix = MIXED
    is_quick: bool = False


def _killed(*kinds: str, times: int = 1, pause_s: float = 3.0) -> Callable[[RunningService], float]:
    def inject(service: RunningService) -> float:
        ended_at = 0.0
        for number in range(times):
            if number:
                time.sleep(pause_s)
            for kind in kinds:
                ended_at = service.kill(kind)
        return ended_at

    return inject


def _suspended(kind: str, seconds: float) -> Callable[[RunningService], float]:
    return lambda service: service.suspend(kind, seconds)


def kill_pool_process(service: RunningService) -> float:
    """SIGKILL one process of the bulk worker's pool."""
    return service.signal(service.pool()[:1], signal.SIGKILL)


def kill_bulk_at_random(service: RunningService) -> float:
    """SIGKILL all bulk processes at random moments: some fall between writing and renaming."""
    ended_at = 0.0
    for _ in range(4):
        time.sleep(random.uniform(1.0, 3.0))
        ended_at = service.kill("bulk worker")
    return ended_at


def suspend_then_kill(service: RunningService) -> float:
    """Suspend all workers, let work come in, then kill them."""
    workers = service.processes("interactive worker") + service.processes("bulk worker")
    service.signal(workers, signal.SIGSTOP)
    time.sleep(2.0)
    return service.signal(workers, signal.SIGKILL)


def hang(kind: str) -> Callable[[RunningService], float]:
    """Suspend one process of a kind for good; ends when it is killed, or after 20 seconds."""

    def inject(service: RunningService) -> float:
        oldest = sorted(service.processes(kind), key=psutil.Process.create_time)[:1]
        service.signal(oldest, signal.SIGSTOP)
        try:
            wait_until(lambda: not any(one.is_running() for one in oldest), 20.0, "it is killed")
        finally:
            ended_at = service.signal(oldest, signal.SIGCONT)
        return ended_at

    return inject


def hang_pool_process(service: RunningService) -> float:
    """Suspend a pool process for good; ends when it is killed."""
    process = service.pool()[:1]
    service.signal(process, signal.SIGSTOP)
    wait_until(lambda: not any(one.is_running() for one in process), 20.0, "it is killed")
    return time.time()


def cut_connections(service: RunningService) -> float:
    """CLIENT KILL every connection of both servers, three times."""
    for _ in range(3):
        for client in (service.broker, service.cache):
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        time.sleep(0.5)
    return time.time()


def fill_memory(service: RunningService) -> float:
    """Let the broker run out of memory while another caller floods it with long lists."""
    broker = service.broker
    before = broker.config_get("maxmemory")["maxmemory"]
    broker.config_set("maxmemory", broker.info("memory")["used_memory"] + MEMORY_LEFT)
    try:
        connection = Connection(service.url, service.other_key)
        body = json.dumps([_flood_car(number) for number in range(1_000)])
        until = time.monotonic() + OUTAGE_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                connection.request("POST", "/jobs", body)
    finally:
        broker.config_set("maxmemory", before)
    return time.time()


def lose_broker_data(service: RunningService) -> float:
    """FLUSHALL on the broker during batches."""
    service.broker.flushall()
    return time.time()


def no_audit(service: RunningService) -> float:
    """Put a file where the folder of the audit log was; open files cannot be rotated into it."""
    folder = service.home / "audit"
    aside = folder.with_name("audit-aside")
    service.kill("interactive worker")  # those that start have no open file
    folder.rename(aside)
    folder.write_text("a file where the folder should be")
    time.sleep(OUTAGE_S)
    folder.unlink()
    aside.rename(folder)
    return time.time()


def terminate(service: RunningService) -> float:
    """SIGTERM the API and all workers under load."""
    for kind in ("api", "interactive worker", "bulk worker"):
        parents = {process.pid for process in service.processes(kind)}
        mains = [one for one in service.processes(kind) if one.ppid() not in parents]
        service.signal(mains, signal.SIGTERM)
    return time.time()


def restart(service: RunningService) -> float:
    """Kill everything, the supervisor included, and start the service again."""
    assert service.program is not None
    service.signal(service.program.processes(), signal.SIGKILL)
    time.sleep(1.0)
    started_at = time.time()
    service.start()
    return started_at


def switch_models(service: RunningService) -> float:
    """Activate another version twice, and publish a damaged one, under load."""
    registry = ModelRegistry(service.models_path)
    active = registry.active_version()
    others = [version.id for version in registry.list() if version.id != active]
    damaged = service.models_path / "2020-01-01T000000-dddddd"
    shutil.copytree(service.models_path / str(active), damaged, dirs_exist_ok=True)
    for path in damaged.iterdir():
        if path.suffix != ".json":
            path.write_bytes(path.read_bytes()[:100])
    for version in (*others[:1], damaged.name, str(active)):
        with contextlib.suppress(Exception):  # the registry may refuse the damaged one
            registry.activate(version, by="faults")
        time.sleep(2.0)
    shutil.rmtree(damaged)
    return time.time()


def flood_of_batches(service: RunningService) -> float:
    """Another caller uploads large files, and 50 clients ask for single cars."""
    connection = Connection(service.url, service.other_key)
    stop = threading.Event()
    clients = [threading.Thread(target=_ask, args=(service, stop)) for _ in range(50)]
    for client in clients:
        client.start()
    for _ in range(FLOOD_BATCHES):
        text, _ = rows_csv(FLOOD_ROWS)
        connection.request("POST", "/batches", text, {"Content-Type": "text/csv"})
    time.sleep(OUTAGE_S)
    stop.set()
    for client in clients:
        client.join()
    return time.time()


def cancel_and_restart(service: RunningService) -> float:
    """Cancel another caller's batch, kill the workers; its results are a gap-free prefix."""
    connection = Connection(service.url, service.other_key)
    text, _ = rows_csv(FLOOD_ROWS)
    _, body = connection.request("POST", "/batches", text, {"Content-Type": "text/csv"})
    path = f"/batches/{json.loads(body)['id']}"
    time.sleep(0.5)
    connection.request("DELETE", path)
    ended_at = service.kill("bulk worker")
    wait_until(lambda: _state(connection, path) in {"CANCELLED", "SUCCEEDED"}, 60.0, "it ends")
    _, results = connection.request("GET", f"{path}/results")
    refs = [line.split(b";", 1)[0] for line in results.splitlines()[1:]]
    if refs != [b"R%d" % number for number in range(1, len(refs) + 1)]:
        raise RuntimeError("the results of a cancelled batch have gaps")
    return ended_at


def poison(service: RunningService) -> float:
    """Kill the pool again and again while it works on a batch, until that has ended or for a while.

    Raises:
        RuntimeError: rows are missing, or replaying the dead letters does not value them.
    """
    connection = service.connection()
    text, valid = rows_csv(POISON_ROWS)
    _, body = connection.request("POST", "/batches", text, {"Content-Type": "text/csv"})
    path = f"/batches/{json.loads(body)['id']}"
    until = time.monotonic() + POISON_S
    while _state(connection, path) not in {"SUCCEEDED", "FAILED"} and time.monotonic() < until:
        service.signal(service.pool(), signal.SIGKILL)
        time.sleep(0.3)
    ended_at = time.time()
    wait_until(lambda: _state(connection, path) in {"SUCCEEDED", "FAILED"}, 90.0, "it ends")
    quiet_from = time.monotonic()
    while time.monotonic() < quiet_from + QUIET_S:  # batches of the load may have failed as well
        if replay_dead_letters(connection):
            quiet_from = time.monotonic()
        time.sleep(0.5)
    wait_until(lambda: _valid(connection, path) == valid, 60.0, "replayed rows are valued")
    _, results = connection.request("GET", f"{path}/results")
    if len(results.splitlines()) != POISON_ROWS + 1:
        raise RuntimeError(f"{len(results.splitlines())} lines of results")
    return ended_at


def lose_keys(service: RunningService) -> float:
    """Remove the file of API keys for a while: everybody must be refused, nobody let in."""
    path = service.home / "api-keys.json"
    aside = path.with_suffix(".aside")
    path.rename(aside)
    time.sleep(2.0)
    status, _ = Connection(service.url).request("GET", "/models")
    aside.rename(path)
    if status not in {401, 503}:
        raise RuntimeError(f"without keys, a caller without key got {status}")
    return time.time()


def idle_connections(service: RunningService) -> float:
    """Open more connections than the API admits and send nothing on them.

    Raises:
        RuntimeError: a new connection is not answered in time.
    """
    waited_s = 0.0
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE_CONNECTIONS):
            with contextlib.suppress(OSError):
                one = socket.create_connection(("127.0.0.1", service.port), timeout=1.0)
                stack.enter_context(one)
        started = time.monotonic()
        with contextlib.suppress(OSError):
            Connection(service.url, service.key).request("GET", "/livez")
        waited_s = time.monotonic() - started
        time.sleep(OUTAGE_S)
    if waited_s > NEW_CONNECTION_S:
        raise RuntimeError(f"a new connection waited {waited_s:.1f} s")
    return time.time()


def damage_broker_file(service: RunningService) -> float:
    """Append garbage to the broker's append-only file while the service is down, and repair it."""
    service.stop()
    files = sorted((service.home / "broker" / "appendonlydir").glob("*.incr.aof"))
    with files[-1].open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$3\r\nabc\r\nxx garbage")
    service.command("repair-broker")
    started_at = time.time()
    service.start()
    return started_at


def statistics(service: RunningService) -> float:
    """Ask for the statistics from 200 connections at once."""
    stop = threading.Event()
    clients = [
        threading.Thread(target=_ask, args=(service, stop, "/predictions/stats"))
        for _ in range(200)
    ]
    for client in clients:
        client.start()
    time.sleep(OUTAGE_S)
    stop.set()
    for client in clients:
        client.join()
    return time.time()


def _ask(service: RunningService, stop: threading.Event, path: str = "") -> None:
    connection = Connection(service.url, service.other_key)
    while not stop.is_set():
        with contextlib.suppress(OSError, redis.RedisError):
            if path:
                connection.request("GET", path)
            else:
                connection.request(
                    "POST", "/predict", json.dumps(_flood_car(random.randrange(10**6)))
                )


def _flood_car(number: int) -> dict[str, object]:
    """A car that differs from those of the load."""
    return {"company": "Kia", "model": "Picanto", "year": 2015, "km_driven": number}


def _state(connection: Connection, path: str) -> str:
    with contextlib.suppress(OSError, ValueError):
        return str(json.loads(connection.request("GET", path)[1]).get("state"))
    return ""


def _valid(connection: Connection, path: str) -> int:
    with contextlib.suppress(OSError, ValueError, KeyError):
        return int(json.loads(connection.request("GET", path)[1])["counts"]["valid"])
    return -1


FAULTS = (
    Fault(name="1 bulk pool process killed", inject=kill_pool_process, is_quick=True),
    Fault(name="2a interactive workers killed", inject=_killed("interactive worker")),
    Fault(name="2b bulk worker killed", inject=_killed("bulk worker")),
    Fault(name="3 workers suspended, then killed", inject=suspend_then_kill),
    Fault(name="4 broker killed", inject=_killed("broker"), is_quick=True),
    Fault(name="5 broker killed twice quickly", inject=_killed("broker", times=2, pause_s=1.5)),
    Fault(name="6 broker frozen for 30 s", inject=_suspended("broker", FROZEN_BROKER_S)),
    Fault(name="7 connections of both servers cut", inject=cut_connections, is_quick=True),
    Fault(name="9 broker out of memory, lists of another caller", inject=fill_memory),
    Fault(name="10 broker loses all data", inject=lose_broker_data, mix=ONLY_BATCHES),
    Fault(name="11 poison chunk, replayed", inject=poison, mix=ONLY_BATCHES),
    Fault(name="12a API and workers get SIGTERM", inject=terminate),
    Fault(name="12b everything killed and started again", inject=restart),
    Fault(name="13 API killed three times", inject=_killed("api", times=3)),
    Fault(name="15 bulk worker killed at random, four times", inject=kill_bulk_at_random),
    Fault(name="16 models switched, one damaged", inject=switch_models),
    Fault(name="17 flood of batches and 50 clients", inject=flood_of_batches),
    Fault(name="18 batch cancelled, workers killed", inject=cancel_and_restart),
    Fault(name="19a cache suspended", inject=_suspended("cache", FROZEN_S)),
    Fault(name="19b cache killed", inject=_killed("cache")),
    Fault(name="audit log cannot be written", inject=no_audit),
    Fault(name="file of API keys missing", inject=lose_keys),
    Fault(name="statistics asked by 200 connections", inject=statistics),
    Fault(name="1,500 idle connections", inject=idle_connections),
    Fault(name="pool process hangs", inject=hang_pool_process),
    Fault(name="interactive worker hangs", inject=hang("interactive worker")),
    Fault(name="bulk worker hangs", inject=hang("bulk worker")),
    Fault(name="API hangs", inject=hang("api")),
    Fault(name="broker hangs", inject=hang("broker")),
    Fault(name="beat hangs", inject=hang("beat")),
    Fault(name="broker's file damaged, repaired", inject=damage_broker_file),
)
"""Faults that one service survives one after the other."""
