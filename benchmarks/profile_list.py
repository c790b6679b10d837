"""Splits the time of a list of cars (`POST /jobs`) into its parts, in-process.

API and worker run in this process, one after the other, with a real broker and cache: what is left
out is the message, HTTP and waiting. `python -m benchmarks.profile_list [MODELS]`.
"""

import contextlib
import gc
import json
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.in_process import run_profile, timed
from shared.redis.servers import with_server_urls
from shared.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

CARS, REPEATS = 1000, 15
MODELS_OF_BRANDS = (
    ("Toyota", "Corolla"), ("Dacia", "Logan"), ("Renault", "Clio"), ("Volkswagen", "Golf 7"),
    ("Peugeot", "208"), ("Hyundai", "i10"), ("Kia", "Picanto"), ("Ford", "Focus"),
)  # fmt: skip
TIMED_FUNCTIONS = {
    "submit: read the JSON": ("api.jobs.bodies", "", "parse_json"),
    "submit: validate the cars": ("api.jobs.bodies", "", "load_requests"),
    "submit: pack, store and queue": ("shared.queue.work", "JobSubmitter", "submit"),
    "value: load and unpack": ("shared.redis.job_store.store", "JobStore", "load_all"),
    "value: estimate": ("worker.model", "Estimation", "estimate_list"),
    "value: audit records": ("worker.valuations.steps", "ValuationSteps", "record"),
    "value: fill the cache": ("shared.redis.cache", "EstimateCache", "_put_commands"),
    "value: pack and finish": ("shared.redis.job_store.store", "JobStore", "finish_all"),
    "read: load and unpack": ("shared.redis.job_store.store", "JobStore", "get"),
    "read: make the answer, write the JSON": ("api.jobs.content", "JobContents", "_dump"),
    "read: compress": ("api.middleware.compression", "", "compress"),
}
"""Module, class (or none) and function of each part; the name begins with its step."""


def main() -> None:
    """Print the times of each step and the CPU times of its parts, milliseconds."""
    run_profile(report, small_model=False)


def report() -> None:
    """Submit, value and read lists, and print the medians."""
    # After the environment is set.
    from api.app import create_app  # noqa: PLC0415
    from shared.domain.ids import JobId  # noqa: PLC0415
    from shared.logging import configure_logging  # noqa: PLC0415
    from shared.queue.names import QueueName  # noqa: PLC0415
    from shared.redis.connections import connect  # noqa: PLC0415
    from shared.redis.owners import Owner  # noqa: PLC0415
    from shared.redis.workers import WorkerRegistry  # noqa: PLC0415
    from worker.container import build_services  # noqa: PLC0415
    from worker.model import ModelRuntime  # noqa: PLC0415

    settings = with_server_urls(Settings.from_env())
    configure_logging("error", "api")
    # Without a worker that announces them, the API stores no columns.
    WorkerRegistry(connect(settings.redis_url)).heartbeat("profile:1", [QueueName.BULK])
    client = create_app(settings).test_client()
    runtime = ModelRuntime(settings.versions_path, time.monotonic)
    valuation = build_services(settings, runtime, Owner("profile")).valuation

    def value(path: str) -> None:
        valuation.value_jobs([JobId(path.rpartition("/")[2])], time.time(), QueueName.BULK)

    one_round(client, value, cars(REPEATS))  # imports, connects, compiles and loads the model
    gc.freeze()  # as in the processes of the service
    rounds = [one_round(client, value, cars(number)) for number in range(REPEATS)]
    for name in rounds[0]:
        print(f"{statistics.median(one[name] for one in rounds):8.2f}  {name}")


def one_round(
    client: "FlaskClient", value: "Callable[[str], None]", body: bytes
) -> dict[str, float]:
    """Submit, value and read a list; return the times of each, and the CPU times of its parts."""
    spent: dict[str, float] = defaultdict(float)
    figures: dict[str, float] = {}

    @contextlib.contextmanager
    def step(name: str) -> Iterator[None]:
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        yield
        figures[f"{name}, CPU time"] = 1000 * (time.process_time() - started_cpu_s)
        figures[f"  {name}: with waiting"] = 1000 * (time.perf_counter() - started_s)
        parts = [part for part in TIMED_FUNCTIONS if part.startswith(f"{name}:")]
        figures.update({f"  {part}": 1000 * spent[part] for part in parts})
        spent.clear()

    with contextlib.ExitStack() as stack:
        for name, (module, owner, function) in TIMED_FUNCTIONS.items():
            target: Any = sys.modules[module]
            target = getattr(target, owner) if owner else target
            stack.enter_context(timed(target, function, name, spent))
        with step("submit"):
            path = submitted(client, body)
        with step("value"):
            value(path)
        with step("read"):
            read(client, path)
    return figures


def cars(seed: int) -> bytes:
    """A list of cars, different for each seed, as a body."""
    rng = random.Random(seed)
    made = []
    for _ in range(CARS):
        company, model = rng.choice(MODELS_OF_BRANDS)
        made.append({
            "company": company,
            "model": model,
            "year": rng.randint(2000, 2024),
            "fuel": rng.choice(("Petrol", "Diesel")),
            "transmission": rng.choice(("Manual", "Automatic")),
            "km_driven": rng.randrange(0, 300_000, 100),
        })  # fmt: skip
    return json.dumps(made).encode()


def submitted(client: "FlaskClient", body: bytes) -> str:
    """Submit a list; return the address of its job.

    Raises:
        RuntimeError: it was refused.
    """
    answer = client.post("/jobs", data=body, content_type="application/json")
    if "Location" not in answer.headers:
        raise RuntimeError(answer.text)
    return answer.headers["Location"]


def read(client: "FlaskClient", path: str) -> None:
    """Read a job as a client does that accepts zstd.

    Raises:
        RuntimeError: it has not succeeded.
    """
    answer = client.get(path, headers={"Accept-Encoding": "zstd"})
    if answer.headers.get("Content-Encoding") != "zstd":
        raise RuntimeError(f"not a long answer: {answer.status_code}")


if __name__ == "__main__":
    main()
