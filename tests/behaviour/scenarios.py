"""Records the messages, Redis keys, audit records and files that requests of each kind cause."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.behaviour.cars import PLAIN
from tests.behaviour.normal import Placeholders, today
from tests.behaviour.running import Service, wait_until
from tests.behaviour.wire import Monitor, monitoring, normal_commands, readable, take_all

FULL = PLAIN | {
    "company": "Toyota", "model": "Corolla", "edition": "1.6 VVT-i", "owner": "First",
    "seller_type": "Dealer", "mileage_mpg": 40, "engine_cc": 1.6, "max_power_bhp": 120,
    "torque_nm": 160, "fiscal_power_cv": 8, "city": "Fès", "condition": "Excellent",
    "origin": "WW Morocco", "doors": 5, "asking_price_mad": 145_000,
}  # fmt: skip
CSV = (
    "ref,company,model,year,fuel,transmission,km_driven,asking_price\n"
    "R1,Dacia,Logan,2018,Diesel,Manual,120000,80000\n"
    'R2,Renault,"Clio, 5 portes",2016,Essence,Manuelle,150000,\n'
    "R3,BMW,X5,1800,Diesel,Automatic,90000,500000\n"
)
SALE = {"sale_price_mad": 75_000, "sold_at": today()}
VARYING_KEYS = re.compile(r"completions|:workers|:fair:|:owner|jobs-kept-of|batch-bytes-of")
"""Keys whose values or times to live depend on the moment or the speed of the machine."""
CELERY_KEYS = re.compile(r"kombu|unacked|pidbox|celeryev")


class Scenarios:
    """Sends requests of each kind.

    Args:
        http: a client of the service.
        broker: monitors the end of jobs and batches; the number of polls would vary.
    """

    def __init__(self, http: httpx.Client, broker: Monitor) -> None:
        self._http = http
        self._broker = broker
        self._batch = ""

    def all(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield a name and a function that sends the request and returns the response."""
        yield "miss", lambda: self._predict(FULL)
        yield "hit", lambda: self._predict(FULL | {"company": "TOYOTA"})
        yield (
            "miss with extras",
            lambda: self._predict(PLAIN, "include=contributions,depreciation,comparables"),
        )
        yield (
            "hit with extras",
            lambda: self._predict(PLAIN, "include=comparables,contributions,depreciation"),
        )
        yield "job of one car", lambda: self._job(PLAIN | {"year": 2017})
        yield "job of three cars", lambda: self._job(
            [PLAIN, FULL, PLAIN | {"model": "Zorglub"}], "include=contributions&coverage=0.5",
            {"Idempotency-Key": "three cars"},
        )  # fmt: skip
        yield "the same job again", lambda: self._job(
            [PLAIN, FULL, PLAIN | {"model": "Zorglub"}], "include=contributions&coverage=0.5",
            {"Idempotency-Key": "three cars"}, known=True,
        )  # fmt: skip
        yield (
            "job of many cars",
            lambda: self._job([PLAIN | {"km_driven": 1000 * n} for n in range(120)]),
        )
        yield "batch", lambda: self._upload(CSV, "key_column=ref")
        yield (
            "ndjson of the batch",
            lambda: self._http.get(f"/batches/{self._batch}/results?format=ndjson"),
        )
        yield (
            "parquet of the batch",
            lambda: self._http.get(f"/batches/{self._batch}/results?format=parquet"),
        )
        yield (
            "batch again under a key",
            lambda: self._upload(CSV, headers={"Idempotency-Key": "stock"}),
        )
        yield "batch that only checks", lambda: self._upload(CSV, "dry_run=true")
        yield "batch that aborts", lambda: self._upload(CSV, "on_error=abort")
        yield (
            "sale",
            lambda: self._http.post(f"/valuations/{self._batch}-1/outcome", json=SALE),
        )
        yield (
            "sale, corrected",
            lambda: self._http.post(
                f"/valuations/{self._batch}-1/outcome", json=SALE | {"sale_price_mad": 76_000}
            ),
        )

    def _predict(self, car: Any, query: str = "") -> httpx.Response:
        headers = {"Prefer": "wait=30"}
        return self._http.post(f"/predict?{query}", json=car, headers=headers)

    def _job(
        self,
        cars: Any,
        query: str = "",
        headers: dict[str, str] | None = None,
        *,
        known: bool = False,
    ) -> httpx.Response:
        sent = self._http.post(f"/jobs?{query}", json=cars, headers=headers or {})
        if not known:
            self._broker.wait_for_end(sent.json()["id"])
        return self._http.get(f"{sent.json()['links']['self']}?{query}")

    def _upload(
        self, text: str, query: str = "", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        sent = self._http.post(
            f"/batches?{query}",
            content=text,
            headers={"Content-Type": "text/csv"} | (headers or {}),
        )
        self._batch = self._batch or sent.json()["id"]
        self._broker.wait_for_end(sent.json()["id"])
        return self._http.get(f"/batches/{sent.json()['id']}")


def record(service: Service) -> dict[str, Any]:
    """Record the Redis commands of each request, and the content of Redis and home at the end."""
    home = service.home
    calls = {}
    sockets = (home.socket_of("broker"), home.socket_of("cache"))
    with service.client() as http, monitoring(*sockets) as monitors:
        for name, call in Scenarios(http, monitors[0]).all():
            answer = call()
            calls[name] = {"status": answer.status_code, **_commands(monitors)}
        at_rest = {name: redis_content(service, name) for name in ("broker", "cache")}
        audit, disk = audit_lines(home.folder / "audit"), disk_content(home.folder)
        beat = home.start("beat")
        sweep = _until_sweep(monitors[0])
        home.stop(beat)
    messages = {"calls": calls, "sweep": sweep}
    return {"messages": messages, "redis": at_rest, "audit": audit, "disk": disk}


def _commands(monitors: list[Monitor]) -> dict[str, Any]:
    return {
        name: normal_commands(commands, Placeholders(numbered=False))
        for name, commands in zip(("broker", "cache"), take_all(monitors), strict=True)
    }


def _until_sweep(monitor: Monitor) -> list[Any]:
    """Wait for the message that beat sends and return it."""
    found: list[Any] = []

    def sent() -> bool:
        found.extend(
            one
            for one in normal_commands(take_all([monitor])[0], Placeholders(numbered=False))
            if one[0] == "LPUSH"
        )
        return bool(found)

    wait_until(sent, "a sweep")
    return found[:1]


def redis_content(service: Service, server: str) -> list[Any]:
    """Return every key of the service with its type, value and time to live."""
    client = service.home.redis(server)
    content = set()
    for key in client.scan_iter(count=1000):
        name = Placeholders(numbered=False).text(key.decode())
        if CELERY_KEYS.search(name) or VARYING_KEYS.search(name):
            content.add(json.dumps([_key(name), client.type(key).decode()]))
            continue
        value = readable(_value(client, key), Placeholders())
        lasting = client.ttl(key)
        entry = [name, client.type(key).decode(), _duration(lasting), value]
        content.add(json.dumps(entry, ensure_ascii=False))
    return [json.loads(one) for one in sorted(content)]


def _key(name: str) -> str:
    """Replace hosts, process ids and time windows in a key."""
    name = re.sub(r"[\w.-]+@[\w.-]+", "<worker>", name)
    return re.sub(r"\d{4,}", "<number>", name)


def _value(client: Any, key: bytes) -> Any:
    kind = client.type(key).decode()
    reads = {
        "string": lambda: client.get(key),
        "hash": lambda: dict(sorted(client.hgetall(key).items())),
        "list": lambda: client.lrange(key, 0, -1),
        "set": lambda: sorted(client.smembers(key)),
        "zset": lambda: [list(pair) for pair in client.zrange(key, 0, -1, withscores=True)],
    }
    return reads[kind]()


def _duration(seconds: int) -> str:
    """Round a time to live, which decreases while the recording runs."""
    return "for ever" if seconds < 0 else f"about {(seconds + 30) * 10 / 3600 // 1 / 10} h"


def audit_lines(folder: Path) -> list[Any]:
    """Return the first lines and the number of lines of every file of the audit log."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix == ".jsonl":
            lines = [audit_line(line) for line in path.read_text("utf-8").splitlines()]
            files.append([_file_name(path.relative_to(folder)), *lines[:8], len(lines)])
    return sorted(files, key=lambda file: json.dumps(file[1:]))


def audit_line(line: str) -> str:
    """Replace ids, times and hashes in a line of the audit log."""
    line = re.sub(r'"response_time_ms":[\d.e-]+', '"response_time_ms":<number>', line)
    line = re.sub(r'"(prev|hash)":"[0-9a-f]+"', r'"\1":"<hash>"', line)
    line = re.sub(r'"at":[\d.]+', '"at":<time>', line)
    return Placeholders().text(line)


def _file_name(path: Path) -> str:
    name = Placeholders(numbered=False).text(str(path))
    name = re.sub(r"\d{4}-\d\d-\d\d", "<day>", name)
    return re.sub(r"(?<=-)\d+(?=-)", "<pid>", name)


def disk_content(home: Path) -> dict[str, Any]:
    """Return the names of the files in the home, and the content of the files of one batch."""
    names = {
        _file_name(path.relative_to(home))
        for path in home.rglob("*")
        if path.is_file() and not path.relative_to(home).parts[0].startswith(("metrics", "."))
        and path.suffix not in {".log", ".lock"} and "appendonly" not in str(path)
    }  # fmt: skip
    first = min((home / "batches").iterdir())
    records = {}
    for path in sorted(first.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            records[str(path.relative_to(first))] = _record(path, content)
    return {"files": sorted(names), "batch": records}


def _record(path: Path, content: bytes) -> Any:
    names = Placeholders()
    if path.suffix == ".json":
        return names.value(json.loads(content))
    try:
        return [audit_line(line) for line in content.decode().splitlines()]
    except UnicodeDecodeError:
        return "<bytes>"
