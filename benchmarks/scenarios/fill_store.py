"""Fills a running service with stored jobs and audit lines, as if it had run for a long time.

`python -m benchmarks.scenarios.fill_store HOME URL COUNT` submits one real job and copies its keys
and its line of the audit log under new ids; the copied lines are chained as the service does it.
"""

import http.client
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from benchmarks.scenarios.soak_load import HEADERS, car
from shared.audit.chain import GENESIS_HASH, chain, day_of, file_name
from shared.domain.ids import new_id
from shared.redis.connections import RedisClient, connect
from shared.redis.servers import with_server_urls
from shared.settings import Settings

STEP = 1_000
SPREAD_S = 3600.0
"""The ids of the copies are spread over this time before now."""
WAIT_S = 30.0

# KEYS: keys of the job, then the indexes that contain it.  ARGV: its id, the number of its keys,
# then the new ids.
_COPY = """
local own = tonumber(ARGV[2])
for n = 3, #ARGV do
  for k = 1, own do
    local copied = string.gsub(KEYS[k], ARGV[1], ARGV[n])
    redis.call('COPY', KEYS[k], copied)
  end
  for k = own + 1, #KEYS do redis.call('ZADD', KEYS[k], 0, ARGV[n]) end
end
"""


def main(home: Path, url: str, count: int) -> None:
    """Fill broker and audit log; print the number of copies."""
    job_id = finished_job(url)
    settings = with_server_urls(Settings(home=home))
    ids = [new_id(time.time() - SPREAD_S * (1 - n / count)) for n in range(count)]
    copy_keys(connect(settings.redis_url, reply_timeout_s=WAIT_S), job_id, ids)
    copy_line(settings.audit_folder, job_id, ids)
    figures = {"duration_s": 1.0, "requests": count}
    print(f"RESULT {json.dumps(figures)}")


def finished_job(url: str) -> str:
    """Submit a job, wait until it has succeeded and return its id.

    Raises:
        RuntimeError: it has not succeeded.
    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=WAIT_S)
    connection.request("POST", "/jobs", json.dumps(car(1)), HEADERS)
    job_id = str(json.loads(connection.getresponse().read())["id"])
    connection.request("GET", f"/jobs/{job_id}?wait=20")
    state = json.loads(connection.getresponse().read())["state"]
    if state != "SUCCEEDED":
        raise RuntimeError(f"the job that was to be copied is {state}")
    return job_id


def copy_keys(broker: RedisClient, job_id: str, ids: list[str]) -> None:
    """Copy all keys of a job in the broker, and its entries in indexes."""
    named = list(broker.scan_iter(match=f"*{job_id}*"))
    indexes = [
        key
        for key in broker.scan_iter(_type="zset")
        if broker.zscore(key, job_id) is not None and key not in named
    ]
    copy = broker.register_script(_COPY)
    for step in range(0, len(ids), STEP):
        copy(keys=[*named, *indexes], args=[job_id, len(named), *ids[step : step + STEP]])


def copy_line(folder: Path, job_id: str, ids: list[str]) -> None:
    """Write an audit log file with one line per id, named like that of another process."""
    record = _record(folder, job_id)
    block, _, _ = chain((orjson.dumps(record | {"id": each}) for each in ids), GENESIS_HASH)
    (folder / file_name(day_of(time.time()), f"worker-0-{new_id()}")).write_bytes(block)


def _record(folder: Path, job_id: str) -> dict[str, Any]:
    for path in folder.glob("predictions_*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            record: dict[str, Any] = json.loads(line)
            if record["id"] == job_id:
                return {name: record[name] for name in record if name not in {"prev", "hash"}}
    raise RuntimeError("the job is not in the audit log")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
