"""Writes what a release stores in Redis and in the blob store, as fixtures of later releases.

Run it in a checkout of the release, with the id of its commit:

    python -m tests.stored_records.write 405ed78

The files of a release are never written again by a later one: `test_stored_records.py` and
`test_stored_webhooks.py` prove that the current code reads them.
"""

import base64
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from api.jobs.idempotency import RedisIdempotency
from api.valuations.micro_batches import MicroBatchDispatcher
from shared.domain.ids import CallerId, JobId, ValuationId, new_id
from shared.domain.job import DispatchOrigin, Job, JobState
from shared.domain.outlook import (
    Comparable,
    Depreciation,
    DepreciationPoint,
    Pace,
    SimilarityReason,
)
from shared.domain.valuation import CarRequest, Contribution, Estimate, Explanation, Extra
from shared.fields.lists.loading import load_list
from shared.fields.requests import load_car_request
from shared.queue.names import TaskName
from shared.queue.sender import TaskSender, push_reply
from shared.redis.cache import EstimateCache
from shared.redis.connections import ConnectionCache, RedisClient, connect
from shared.redis.job_store.records import COLUMNS_PROTOCOL
from shared.redis.job_store.store import JobStore
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.batch_parts import BulkPath
from tests.stored_records.callbacks import (
    store_batches_with_callbacks,
    store_groups,
    store_secrets,
    store_webhooks,
)

FOLDER = Path(__file__).parent
CALLER = CallerId("me")
EXTRAS = (Extra.CONTRIBUTIONS, Extra.DEPRECIATION, Extra.COMPARABLES)
CARS: tuple[dict[str, Any], ...] = (
    {"company": "Toyota", "model": "Corolla", "year": 2020, "fuel": "Petrol", "km_driven": 25000},
    {"company": "Dacia", "model": "Sandeero", "year": 2019, "asking_price_mad": 99000},
    {"company": "Peugeot", "model": "209", "year": 2018, "transmission": "Manual"},
)
TABLE = b"company,model,year,km_driven\nDacia,Logan,2018,120000\nKia,Picanto,1016,60000\n"


def estimate(*, full: bool) -> Estimate:
    """An estimate, with all extras if it is full."""
    point = DepreciationPoint(1, 40000, 90000.0, tuple(80000.0 + step for step in range(9)))
    comparable = Comparable(
        company="toyota", model="corolla", year_from=2019, year_to=2021, km_driven=30000,
        fuel="Petrol", transmission="Manual", price_mad=99000.0, listings=12, distance=0.5,
        alike=(SimilarityReason.MODEL, SimilarityReason.FUEL),
    )  # fmt: skip
    return Estimate(
        price_mad=100000.0,
        quantiles_mad=tuple(90000.0 + 2500 * step for step in range(9)),
        model_version="v1",
        model_known=True,
        explanation=Explanation(95000.0, (Contribution("year", 2020, 5000.0),)) if full else None,
        depreciation=Depreciation(km_per_year=15000, pace=Pace.OWN, points=(point,))
        if full
        else None,
        comparables=(comparable,) if full else None,
    )


def write(folder: Path, name: str) -> None:
    """Store one of everything and write it to `<name>.json` in the folder."""
    with tempfile.TemporaryDirectory(prefix="cp-") as home:
        settings = with_server_urls(Settings(home=Path(home)))
        with contextlib.ExitStack() as stack:
            for server in ("broker", "cache"):
                stack.callback(_start(server, home))
            broker, cache = connect(settings.redis_url), connect(settings.cache_url)
            _wait_for(broker)
            _wait_for(cache)
            ids = _store_jobs(broker) | _store_messages(broker, cache)
            batches = BulkPath(Path(home), broker)
            ids |= _store_batches(batches) | store_webhooks(broker)
            ids |= store_batches_with_callbacks(batches, TABLE) | store_groups(broker)
            record = {
                "ids": ids,
                "written_at": time.time(),
                "home": store_secrets(Path(home)),
                "broker": _dump(broker),
                "cache": _dump(cache),
                "blobs": {
                    str(path.relative_to(Path(home) / "batches")): _text(path.read_bytes())
                    for path in sorted((Path(home) / "batches").rglob("*"))
                    if path.is_file()
                },
            }
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def _store_jobs(broker: RedisClient) -> dict[str, Any]:
    """Jobs in every state."""
    store = JobStore(
        broker, time.time, retention_s=86_400, lease_s=30, protocol=lambda: COLUMNS_PROTOCOL
    )
    requests = tuple(load_car_request(car) for car in CARS)
    full = tuple(load_car_request(car, extras=EXTRAS) for car in CARS)
    origin = DispatchOrigin("group", time.time() - 1)
    made = {
        "queued": _job(requests, is_list=True),
        "from_predict": _job(requests[:1], origin=origin),
        "long": _job(full * 2, is_list=True),
        "columns": _job(load_list(CARS * 6, ()), is_list=True),
        "running": _job(requests[:1]),
        "succeeded": _job(requests[1:2]),
        "succeeded_full": _job(full, is_list=True),
        "failed": _job(requests[:1]),
        "cancelled": _job(requests[:1]),
    }
    for job in made.values():
        store.create(job)
    for name in ("running", "succeeded", "succeeded_full", "failed"):
        store.start(made[name].id)
    store.finish(made["succeeded"].id, JobState.SUCCEEDED, [estimate(full=False)])
    store.finish(made["succeeded_full"].id, JobState.SUCCEEDED, [estimate(full=True)] * 3)
    store.finish(made["failed"].id, JobState.FAILED, error="valuation-failed")
    store.request_cancel(made["cancelled"].id, CALLER)
    return {name: job.id for name, job in made.items()}


def _job(
    requests: Sequence[CarRequest], *, is_list: bool = False, origin: DispatchOrigin | None = None
) -> Job:
    return Job(
        id=JobId(new_id()),
        caller=CALLER,
        state=JobState.QUEUED,
        created_at=time.time(),
        requests=requests,
        is_list=is_list,
        origin=origin,
    )


def _store_messages(broker: RedisClient, cache: RedisClient) -> dict[str, Any]:
    """Messages on the queues, a reply, cache entries and an idempotency key."""
    sender = TaskSender(broker)
    for task in (TaskName.VALUE_JOB, TaskName.VALUE_LIST):
        sender.send(task, {"job_id": "0" * 26, "enqueued_at": time.time()})
    _, message = sender.render_jobs([JobId("0" * 26), JobId("1" * 26)])
    sender.publish(("LPUSH", "interactive", message))
    store = JobStore(broker, time.time, retention_s=86_400, lease_s=30)
    dispatcher = MicroBatchDispatcher(sender, broker, store, group_max_cars=8, slots=2)
    futures = [
        dispatcher.prepare(
            ValuationId(new_id()), load_car_request(car), CALLER, time.time() + 5, _ignore
        )
        for car in CARS
    ]
    dispatcher.submit_all(futures)
    dispatcher.close()
    time.sleep(1)  # the thread that reads replies stops
    answered = [
        (futures[0].id, estimate(full=True)),
        (futures[1].id, estimate(full=False)),
    ]
    push_reply(ConnectionCache(broker), "reply", futures[0].group_id, answered)
    entries = [
        (load_car_request(CARS[0]).car, (), estimate(full=False)),
        (load_car_request(CARS[0]).car, EXTRAS, estimate(full=True)),
    ]
    EstimateCache(cache, 3600, time.time).put(entries)
    RedisIdempotency(broker).claim(CALLER, "jobs", "stock-1", "digest", "0" * 26)
    return {"group": futures[0].group_id, "requests": [future.id for future in futures]}


def _store_batches(path: BulkPath) -> dict[str, Any]:
    """A batch that has ended, one with a part, one that is split, and one just accepted."""
    ended = path.accept(TABLE, columns=(("model", "model"),), constants=(("fuel", "Diesel"),))
    path.drain()
    made = {"batch_ended": ended}
    for name, steps in (("batch_valued", 2), ("batch_split", 1), ("batch_accepted", 0)):
        made[name] = path.accept(TABLE)
        for _ in range(steps):
            path.step()
        path.queue.clear()
    return made


def _ignore(_: Any) -> None:
    """Take no notice of results."""


def _dump(client: RedisClient) -> dict[str, list[Any]]:
    """Every key with its type and its content, bytes in base 64."""
    readers: dict[str, Callable[[bytes], Any]] = {
        "string": client.get,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": lambda key: sorted(client.smembers(key)),
        "hash": lambda key: [part for pair in client.hgetall(key).items() for part in pair],
        "zset": lambda key: [
            part
            for member, score in client.zrange(key, 0, -1, withscores=True)
            for part in (member, repr(score).encode())
        ],
    }
    found = {}
    for key in sorted(client.keys("*")):
        kind = client.type(key).decode()
        content = readers[kind](key)
        packed = _text(content) if kind == "string" else [_text(each) for each in content]
        found[key.decode()] = [kind, packed]
    return found


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _start(server: str, home: str) -> Callable[[], None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher.embedded", server], env={"CARPRICE_HOME": home}
    )

    def stop() -> None:
        process.terminate()
        process.wait()

    return stop


def _wait_for(client: RedisClient) -> None:
    for _ in range(200):
        with contextlib.suppress(Exception):
            client.ping()
            return
        time.sleep(0.05)
    raise SystemExit("the server does not answer")


if __name__ == "__main__":
    write(FOLDER, sys.argv[1])
