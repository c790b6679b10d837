"""Checks of what fails: the S3 server, the network, clocks, disks, hosts that come back."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from benchmarks.cluster.cluster import WORKER_KINDS
from benchmarks.cluster.hosts import Host
from benchmarks.cluster.run import NO_NAMESPACES, Run, passes
from benchmarks.cluster.shared_state import key_status
from benchmarks.cluster.work import kill_workers, submitting
from benchmarks.faults.load import Connection, answers_of, car, rows_csv
from benchmarks.faults.work import Kind
from tests.conftest import wait_until
from tests.small_disk import SmallDisk, kept_full

CLOCK_S = 5.0
TIMEOUT_S = 60.0
PROBE_PAUSE_S = 0.5
PROBE_ROWS = 100
CSV = {"Content-Type": "text/csv"}


class Probe:
    """Asks an API for new cars, jobs and batches again and again, and keeps the answers.

    Args:
        run: what is accepted goes to its accounts.
        api: the API.
    """

    def __init__(self, run: Run, api: Host) -> None:
        self._run = run
        self._connection = api.connection()
        self._number = int(time.time() * 1000) % 1_000_000
        self.statuses: dict[str, Counter[int]] = {"car": Counter(), "job": Counter()}

    def ask(self) -> None:
        """Ask for a new car, then submit one."""
        self._number += 1
        self._car(car(self._number))
        self._number += 1
        self._job(car(self._number))

    def batch(self) -> int:
        """Upload a batch; return the status, 0: no answer."""
        text, valid = rows_csv(PROBE_ROWS)
        status, body = self._request("/batches", text, CSV)
        if status == http.client.ACCEPTED:
            ledger = self._run.accounts.ledger
            ledger.accept(Kind.BATCH, json.loads(body)["id"], PROBE_ROWS, valid)
        return status

    def _car(self, body: dict[str, Any]) -> None:
        status, answer = self._post("car", "/predict", body)
        ledger = self._run.accounts.ledger
        if status == http.client.OK:
            found = json.loads(answer)
            work = ledger.answer(found["id"], time.time(), is_cached=found["cached"])
            work.answers = _answers(body, found["price_mad"])
        elif status == http.client.ACCEPTED:
            ledger.accept(Kind.JOB, json.loads(answer)["id"], 1).answers = _answers(body, None)

    def _job(self, body: dict[str, Any]) -> None:
        status, answer = self._post("job", "/jobs", body)
        if status == http.client.ACCEPTED:
            work = self._run.accounts.ledger.accept(Kind.JOB, json.loads(answer)["id"], 1)
            work.answers = _answers(body, None)

    def _post(self, kind: str, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        status, answer = self._request(path, json.dumps(body))
        self.statuses[kind][status] += 1
        return status, answer

    def _request(
        self, path: str, body: str | bytes, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        try:
            return self._connection.request("POST", path, body, headers)
        except (OSError, http.client.HTTPException):
            return 0, b""

    @property
    def said(self) -> str:
        """The statuses by kind; 0: no answer."""
        return ", ".join(
            f"{kind} {dict(sorted(counts.items()))}" for kind, counts in self.statuses.items()
        )


def _answers(body: dict[str, Any], price_mad: float | None) -> list[Any]:
    return answers_of([body], [] if price_mad is None else [price_mad])


@contextmanager
def probing(run: Run, *apis: Host) -> Iterator[list[Probe]]:
    """Probe APIs, each by a thread, while the block runs."""
    probes, stopping = [Probe(run, api) for api in apis], threading.Event()

    def repeat(probe: Probe) -> None:
        while not stopping.wait(PROBE_PAUSE_S):
            probe.ask()

    threads = [threading.Thread(target=repeat, args=(probe,)) for probe in probes]
    for thread in threads:
        thread.start()
    try:
        yield probes
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def check_clocks(run: Run) -> None:
    """Work, with kills, on hosts whose clocks differ."""
    early, late = run.cluster.workers[1], run.cluster.apis[1]
    early.set_clock(-CLOCK_S / 2)
    late.set_clock(CLOCK_S / 2)
    try:
        with submitting(run.cluster, run.accounts.ledger, run.size.some):
            kill_workers(run.cluster, 1)
        run.check_work()
    finally:
        early.set_clock(0)
        late.set_clock(0)


def check_store(run: Run) -> None:
    """No host reaches the S3 server for some time, while there is work."""
    first = run.cluster.apis[0]
    batch_statuses = []
    with submitting(run.cluster, run.accounts.ledger, run.size.some):
        time.sleep(1.0)
        with run.cluster.without_store(), probing(run, *run.cluster.apis) as probes:
            until = time.monotonic() + run.size.outage_s
            while time.monotonic() < until:
                batch_statuses.append(Probe(run, first).batch())
                time.sleep(1.0)
    allowed = {http.client.OK, http.client.ACCEPTED}
    seen = {status for probe in probes for counts in probe.statuses.values() for status in counts}
    run.table.add(
        "cars and jobs are answered without the S3 server",
        f"200 and 202 for {run.size.outage_s:g} s",
        "; ".join(probe.said for probe in probes),
        is_kept=seen <= allowed,
    )
    run.table.add(
        "a batch that cannot be stored is refused",
        "503",
        f"statuses {dict(Counter(batch_statuses))}",
        is_kept=set(batch_statuses) == {http.client.SERVICE_UNAVAILABLE},
    )
    run.check_work()


def check_partition(run: Run) -> None:
    """Only one API reaches Redis."""
    name, goal = "only one API reaches Redis", "202 from it, 503 from the other"
    if not run.cluster.network.are_isolated:
        run.table.leave_out(name, goal, NO_NAMESPACES)
        return
    first, second = run.cluster.apis
    with (
        run.cluster.cut(run.cluster.redis_place, second, *run.cluster.workers),
        probing(run, first) as probes,
        probing(run, second) as others,
    ):
        time.sleep(run.size.short_s)
        ready = [api.connection().request("GET", "/readyz")[0] for api in (first, second)]
    accepted, refused = probes[0].statuses["job"], others[0].statuses["job"]
    run.table.add(
        name,
        goal,
        f"{probes[0].said}; the other: {others[0].said}",
        is_kept=set(accepted) == {http.client.ACCEPTED}
        and set(refused) == {http.client.SERVICE_UNAVAILABLE},
    )
    run.table.add(
        "readiness follows",
        "200 and 503",
        f"{ready[0]} and {ready[1]}",
        is_kept=ready == [http.client.OK, http.client.SERVICE_UNAVAILABLE],
    )
    run.check_work()


def check_disk(run: Run) -> None:
    """The disk of one worker's host is full while there is work."""
    host = run.cluster.workers[1]
    if not host.place.pid:
        run.table.leave_out("the disk of one host is full", "the others serve", NO_NAMESPACES)
        return
    disk = SmallDisk(host.place.pid, host.home)
    with kept_full(disk), submitting(run.cluster, run.accounts.ledger, run.size.some) as accepted:
        in_time = accepted.wait(TIMEOUT_S)
        time.sleep(run.size.short_s)
        still_open = run.accounts.still_open(TIMEOUT_S)
    run.table.add(
        "the disk of one worker's host is full",
        f"all work accepted and ended within {2 * TIMEOUT_S:g} s, by the other host",
        f"accepted: {in_time}, not ended: {len(still_open)}",
        is_kept=in_time and not still_open,
    )
    run.check_work()


def check_return(run: Run) -> None:
    """Two hosts lose their power, and come back later with their old files."""
    api, worker = run.cluster.apis[1], run.cluster.workers[1]
    other, last = run.cluster.apis[0], run.cluster.workers[0]
    key = last.command("key", "create", "left", "--scope", "predict")
    wait_until(lambda: key_status(api, key) == http.client.OK, TIMEOUT_S, "the key is valid")
    others = [one["version"] for one in other.get("/models")["models"]]
    active = str(other.get("/models/active")["version"])
    version = next(one for one in others if one != active)
    with submitting(run.cluster, run.accounts.ledger, run.size.some):
        time.sleep(1.0)
        worker.kill()
    api.kill()
    started = time.monotonic()
    last.command("key", "revoke", "left")
    with other.client() as client:
        activated = client.post(f"/models/{version}/activate").json()
    while time.monotonic() < started + run.size.away_s:
        time.sleep(1.0)
    api.start("api")
    worker.start(*WORKER_KINDS)
    statuses = _first_statuses(api.connection(key))
    run.table.add(
        "a key that was revoked meanwhile is refused by the API that comes back",
        "never 200",
        f"statuses {dict(Counter(statuses))}",
        is_kept=http.client.OK not in statuses and http.client.UNAUTHORIZED in statuses,
    )
    run.cluster.await_complete()
    passes(lambda: set(run.cluster.serving()) == {version}, TIMEOUT_S)
    serving = run.cluster.serving()
    run.table.add(
        "a version that was activated meanwhile is served by the hosts that come back",
        "by every process",
        f"{serving.count(version)} of {len(serving)} processes; the activation named "
        f"{len(activated['not_serving'])} that did not follow",
        is_kept=set(serving) == {version},
    )
    run.check_work(may_be_in_two_logs=True)


def _first_statuses(connection: Connection) -> list[int]:
    """What an API that starts answers, until some seconds after its first answer."""
    statuses: list[int] = []
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until and len(statuses) < 50:  # noqa: PLR2004 - five seconds
        with suppress(OSError, http.client.HTTPException):
            statuses.append(connection.request("GET", "/models/active")[0])
        time.sleep(0.1)
    return statuses
