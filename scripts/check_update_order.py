"""Checks that a release and the current code handle each other's jobs and batches.

    python -m scripts.check_update_order 405ed78 MODELS_PATH

For both orders of an update (API first, workers first) it submits work to the API of one version
without workers, lets workers of the other version carry it out, and compares the results that both
APIs show. It needs the repository's history; the fixtures of `tests/stored_records` do not.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from scripts.ports import reserve_port

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 180.0
CAR: dict[str, Any] = {"company": "Dacia", "model": "Logan", "fuel": "Diesel"}
ROWS = b"company,model,year,km_driven\n" + b"Dacia,Logan,2018,120000\nKia,Picanto,1016,1\n" * 300


def wait_until(condition: Callable[[], Any]) -> Any:
    """The first true value of a condition; ends the program after `TIMEOUT_S`."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError):
            if value := condition():
                return value
        time.sleep(0.2)
    raise SystemExit("not in time")


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """A folder with the code of a revision."""
    with tempfile.TemporaryDirectory(prefix="cp-") as folder:
        path = Path(folder) / "code"
        subprocess.run(
            ["/usr/bin/env", "git", "worktree", "add", "--detach", path, revision],
            cwd=ROOT,
            check=True,
        )
        try:
            yield path
        finally:
            subprocess.run(
                ["/usr/bin/env", "git", "worktree", "remove", "--force", path], cwd=ROOT, check=True
            )


@contextlib.contextmanager
def running(code: Path, env: dict[str, str], *names: str) -> Iterator[None]:
    """Run lines of the Procfile of a version."""
    with contextlib.ExitStack() as stack:
        for name in names:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "run", name],
                cwd=code,
                env=os.environ
                | env
                | {"PYTHONPATH": str(code), "HONCHO_PROCESS_NAME": f"{name}.1"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGTERM)
        yield


def submit(http: httpx.Client, year: int) -> dict[str, str]:
    """Submit jobs of cars of a year, and a batch; their paths by kind."""
    car = CAR | {"year": year}
    lists = {
        "one": car,
        "list": [car | {"km_driven": 1000 * n} for n in range(1, 60)],
        "long": [car | {"km_driven": 100 * n} for n in range(1, 1000)],
        "extras": [car | {"km_driven": 10_000 * n} for n in range(1, 15)],
    }
    paths = {}
    for name, body in lists.items():
        query = {"include": "contributions,depreciation,comparables"} if name == "extras" else {}
        job = http.post("/jobs", json=body, params=query)
        job.raise_for_status()
        paths[name] = job.json()["links"]["self"]
    waited = http.post("/predict", json=car | {"km_driven": 7}, headers={"Prefer": "wait=0.1"})
    if waited.status_code == httpx.codes.ACCEPTED:  # without workers
        paths["predict"] = waited.json()["links"]["self"]
    batch = http.post("/batches", files={"file": ("cars.csv", ROWS)})
    paths["batch"] = f"/batches/{batch.json()['id']}"
    return paths


def results(http: httpx.Client, paths: dict[str, str]) -> dict[str, Any]:
    """The results when everything has ended."""

    def ended(path: str) -> dict[str, Any] | None:
        found: dict[str, Any] = http.get(path).json()
        return found if found["state"] in {"SUCCEEDED", "FAILED"} else None

    found: dict[str, Any] = {}
    for name, path in paths.items():
        state = wait_until(partial(ended, path))
        if state["state"] != "SUCCEEDED":
            raise SystemExit(f"{path}: {state}")
        found[name] = http.get(f"{path}/results").text if name == "batch" else state["result"]
    return found


def check(api: Path, workers: Path, models: str) -> None:
    """Submit by the API of one version, carry out by workers of another, read by both APIs."""
    with tempfile.TemporaryDirectory(prefix="cp-") as home, contextlib.ExitStack() as stack:
        port = reserve_port()
        env = {"CARPRICE_HOME": home, "MODELS_PATH": models, "PORT": str(port)}
        stack.enter_context(running(ROOT, env, "broker", "cache"))
        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0))
        with running(api, env, "api"):
            wait_until(lambda: http.get("/livez").is_success)
            time.sleep(1)
            paths = submit(http, 2018)
            with running(workers, env, "interactive", "bulk", "beat"):
                first = results(http, paths)
                later = submit(http, 2015)
                results(http, later)
        with running(workers, env, "api"):
            wait_until(lambda: http.get("/livez").is_success)
            if results(http, paths) != first:
                raise SystemExit("the other API shows other results")
            results(http, later)


def main() -> None:
    """Check both orders."""
    revision, models = sys.argv[1:]
    with checkout(revision) as old:
        for api, workers in ((old, ROOT), (ROOT, old)):
            check(api, workers, models)
            first = "workers" if api == old else "API"
            print(f"{first} updated first: every result is the same")


if __name__ == "__main__":
    main()
