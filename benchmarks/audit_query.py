"""Measures queries and the verification of a large audit log, which it makes itself.

`python -m benchmarks.audit_query [--records N] [--folder FOLDER]`. Half of the records are those of
single cars, each line with its hash, and half are segments of batches. A log of ten million records
has 4.3 GB; it is deleted at the end, unless the folder is named.
"""

import argparse
import contextlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import orjson

from benchmarks.machine import describe_machine
from shared.audit.chain import GENESIS_HASH, chain, day_of, file_name
from shared.audit.checkpoints import Checkpoints
from shared.audit.inventory import Kind
from shared.domain.clock import DAY_S
from worker.batches.audit_segments import encode_segment

FIRST_AT = 1_790_000_000.0
DAYS = 5
FILE_RECORDS = 500_000
SEGMENT_RECORDS = 10_000
BRANDS = (
    ("dacia", "logan"), ("renault", "clio"), ("toyota", "corolla"), ("peugeot", "208"),
    ("hyundai", "i10"), ("kia", "picanto"), ("ford", "focus"), ("fiat", "500"),
)  # fmt: skip
CALLERS = ("garage", "insurer", "portal", "local")
VERSIONS = ("2026-09-01T000000-aaaaaa", "2026-10-01T000000-bbbbbb")
HIT_SHARE = 0.3
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def record(
    rng: random.Random, at: float, record_id: str, work: dict[str, object]
) -> dict[str, object]:
    """A record as the service writes it."""
    company, model = rng.choice(BRANDS)
    price = round(rng.lognormvariate(11.5, 0.5), 2)
    return {
        "id": record_id, "at": round(at, 6), "caller": rng.choice(CALLERS), **work,
        "features": {
            "company": company, "model": model, "year": rng.randrange(1995, 2026),
            "fuel": rng.choice(("Diesel", "Petrol")), "transmission": "Manual",
            "km_driven": rng.randrange(0, 400_000, 100),
        },
        "price_mad": price, "low_mad": round(price * 0.8, 2), "high_mad": round(price * 1.25, 2),
        "model_version": rng.choice(VERSIONS), "cached": rng.random() < HIT_SHARE,
        "response_time_ms": round(rng.uniform(0.2, 40), 3), "status": "success",
    }  # fmt: skip


def new_id(rng: random.Random, at: float) -> str:
    """An id in the form of the service: the time in milliseconds, and random characters."""
    number, text = int(at * 1000), ""
    for _ in range(10):
        number, digit = divmod(number, 32)
        text = _ID_ALPHABET[digit] + text
    return text + "".join(rng.choices(_ID_ALPHABET, k=16))


def write_process_file(folder: Path, number: int, count: int) -> str:
    """Write the file of a process, each line chained; return an id in its middle."""
    rng = random.Random(number)
    start = FIRST_AT + number % DAYS * DAY_S
    times = [start + position * 60_000 / count for position in range(count)]
    ids = [new_id(rng, at) for at in times]
    bodies = [
        orjson.dumps(record(rng, at, record_id, {}))
        for at, record_id in zip(times, ids, strict=True)
    ]
    lines, _, _ = chain(bodies, GENESIS_HASH)
    (folder / file_name(day_of(start), f"api-{number}")).write_bytes(lines)
    return ids[count // 2]


def write_batch(folder: Path, number: int, count: int) -> str:
    """Write the segments of a batch; return the id of a row in its middle."""
    rng = random.Random(-number)
    at = FIRST_AT + number % DAYS * DAY_S
    batch_id = new_id(rng, at)
    for chunk, first in enumerate(range(1, count + 1, SEGMENT_RECORDS)):
        rows = range(first, min(first + SEGMENT_RECORDS, count + 1))
        records = (
            record(rng, at, f"{batch_id}-{row}", {"batch_id": batch_id, "row": row}) for row in rows
        )
        name = file_name(day_of(at), f"batch-{batch_id}-{chunk}")
        (folder / name).write_bytes(encode_segment(records))
    return f"{batch_id}-{count // 2}"


def make_log(home: Path, records: int) -> list[str]:
    """Make a log with checkpoints; return an id of a single car and one of a row."""
    folder = home / "audit"
    folder.mkdir(parents=True)
    files = max(1, records // FILE_RECORDS // 2)
    count = records // files // 2
    with ProcessPoolExecutor() as processes:
        cars = processes.map(write_process_file, [folder] * files, range(files), [count] * files)
        rows = processes.map(write_batch, [folder] * files, range(files), [count] * files)
        found = [list(cars)[-1], list(rows)[-1]]
    checkpoints = Checkpoints(
        folder, home / "audit-checkpoints", home / "audit-checkpoints.key", time.time
    )
    with checkpoints.locked() as inventory:  # it is begun with all files
        assert inventory.read()
    checkpoints.list_files(sorted(folder.glob("*.jsonl")), Kind.COMPLETE)
    return found


def measure(home: Path, title: str, arguments: Sequence[str]) -> None:
    """Run a command twice, and print both times, and the CPU time of the second run."""
    command = [sys.executable, "-m", "cli.main", "audit", *arguments]
    times = []
    for _ in range(2):
        start, used = time.perf_counter(), _cpu_s()
        done = subprocess.run(
            command, env={"CARPRICE_HOME": str(home)}, stdout=subprocess.PIPE, check=True
        )
        times.append(time.perf_counter() - start)
    lines = done.stdout.count(b"\n")
    cpu_s = _cpu_s() - used
    print(f"| {title} | {times[0]:.2f} | {times[1]:.2f} | {cpu_s:.2f} | {lines} |", flush=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def log_folder(given: Path | None) -> Iterator[Path]:
    """The folder of the log; deleted unless it was given."""
    if given is not None:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="audit-query-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Make a log, and print a table of times in seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with log_folder(options.folder) as home:
        start = time.perf_counter()
        car, row = make_log(home, options.records)
        print(f"{options.records:,} records made in {time.perf_counter() - start:.0f} s")
        print(describe_machine())
        print("\n| command | first, s | repeated, s | its CPU time, s | lines |")
        print("|---|---|---|---|---|")
        day = day_of(FIRST_AT)
        by_brand = ["query", "--group-by", "brand", "--median", "price_mad"]
        measure(home, "verify", ["verify"])
        measure(home, "median price by brand (the first makes the columns)", by_brand)
        measure(
            home, "count by caller and day", ["query", "--group-by", "caller", "--group-by", "day"]
        )
        measure(home, "one car by id", ["query", "--id", car])
        measure(home, "one row of a batch by id", ["query", "--id", row])
        measure(
            home, "newest 100 of a caller on a day", ["query", "--caller", "garage", "--day", day]
        )
        hour = ["--from", f"{day}T14:00", "--to", f"{day}T15:00"]
        measure(home, "one brand in an hour, CSV", ["query", "--brand", "dacia", *hour, "--csv"])


if __name__ == "__main__":
    main()
