"""Runs the whole service under the call tracer and records the calls of single requests.

`carprice up` starts the processes with a temporary home and free ports. The folder
`scripts/call_tracer` on PYTHONPATH loads the tracer into each of them.
"""

import contextlib
import dataclasses
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from scripts.call_tracer.sitecustomize import STACK_SEPARATOR
from scripts.ports import reserve_port

ROOT = Path(__file__).parents[1]
FOLDERS = ("api", "worker", "shared", "model_store", "data", "client", "cli", "launcher")
"""Names of the product folders; those that do not exist are ignored."""

START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 60.0
WARM_UP_REQUESTS = 8
WARM_UP_BATCHES = 4
PAUSE_S = 2.5
"""Time before each traced request. Values cached for a second (the pointer of the active model, the
list of live workers) have then expired, so every request reads them again."""

AFTER_S = 0.2
"""Time between the answer and the end of the recording: audit records and acknowledgements may
follow the answer."""

BATCH_ROWS = 200
BATCH_POLLS = 12
CAR: Mapping[str, Any] = {
    "company": "Toyota",
    "model": "Corolla",
    "year": 2020,
    "fuel": "Petrol",
    "seller_type": "Individual",
    "transmission": "Manual",
    "km_driven": 25000,
    "engine_cc": 1600,
    "max_power_bhp": 120,
}
FEW_PROCESSES = {"INTERACTIVE_WORKERS": "1", "BULK_PROCESSES": "1"}
"""One worker of each kind, so that the warm-up reaches every process."""


class Call(NamedTuple):
    """One function call, as the tracer writes it."""

    at_ns: int
    process: str
    is_resumed: bool
    file: str
    function: str
    caller: str
    """File of the nearest product function on the stack; empty: called by a library."""
    stack: tuple[str, ...]
    """Names of the product functions on the stack, outermost first; the last is `function`."""

    @property
    def place(self) -> tuple[str, str, str]:
        """Process, file and function."""
        return self.process, self.file, self.function


def parse_call(line: str) -> Call:
    """Read one line of the tracer."""
    at_ns, process, is_resumed, file, function, caller, stack = line.split("\t")
    names = tuple(stack.split(STACK_SEPARATOR))
    return Call(int(at_ns), process, is_resumed == "1", file, function, caller, names)


@dataclasses.dataclass(frozen=True)
class Recorder:
    """The tracer's switch file and its output folder."""

    switch: mmap.mmap
    lines: Path

    def record(self, request: Callable[[], None]) -> list[Call]:
        """Record all calls of all processes during one request, in chronological order."""
        time.sleep(PAUSE_S)
        for file in self.lines.iterdir():
            os.truncate(file, 0)
        self.switch[0] = 1
        try:
            request()
            time.sleep(AFTER_S)
        finally:
            self.switch[0] = 0
        time.sleep(AFTER_S)
        texts = [file.read_text(encoding="utf-8") for file in self.lines.iterdir()]
        return sorted(parse_call(line) for text in texts for line in text.splitlines())


class Requests:
    """The requests that are traced.

    Args:
        http: a client of the service.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._km_driven = 30_000
        self._seed = 0

    def hit(self) -> None:
        """Request a price that is in the cache."""
        self._predict(CAR, is_hit=True)

    def miss(self) -> None:
        """Request the price of a new car."""
        self._km_driven += 1000
        self._predict({**CAR, "km_driven": self._km_driven}, is_hit=False)

    def batch(self) -> None:
        """Upload a CSV file of one chunk that the fast CSV engine reads; wait for its end."""
        self._seed += 1
        headers = {"Content-Type": "text/csv"}
        answer = self._http.post("/batches", content=_csv(self._seed), headers=headers)
        answer.raise_for_status()
        path = answer.headers["Location"]
        for _ in range(BATCH_POLLS):
            batch = self._http.get(path, params={"wait": 10}).raise_for_status().json()
            if batch["state"] == "SUCCEEDED":
                return
        raise RuntimeError(f"the batch has not succeeded: {batch}")

    def warm_up(self) -> None:
        """Send requests of each kind, so that first-time initialisation is not traced."""
        self._predict(CAR, is_hit=None)
        for _ in range(WARM_UP_REQUESTS):
            self.miss()
            self.hit()
        for _ in range(WARM_UP_BATCHES):
            self.batch()

    def _predict(self, car: Mapping[str, Any], *, is_hit: bool | None) -> None:
        answer = self._http.post("/predict", json=car)
        status = answer.headers.get("Cache-Status", "")
        if answer.status_code != httpx.codes.OK or is_hit not in {None, "; hit" in status}:
            raise RuntimeError(f"not the expected answer: {answer.status_code} {status}")


def record_requests(times: int, models: Path | None) -> dict[str, list[list[Call]]]:
    """Start the service, warm it up, and record requests of each kind.

    Args:
        times: how many requests of each kind.
        models: a model registry; None: a model is trained in a temporary one.

    Returns:
        The calls of each request, by the kind of request: `hit`, `miss` and `batch`.
    """
    # A short path: the embedded servers listen on Unix sockets.
    home = Path(tempfile.mkdtemp(prefix="cp-"))
    try:
        env = {**os.environ, **FEW_PROCESSES, "CARPRICE_HOME": str(home / "home")}
        env["MODELS_PATH"] = str((models or home / "models").absolute())
        if models is None:
            _run([_program(), "train", "--activate"], env)
        with _recorder(home) as recorder, _service(home, env) as http:
            requests = Requests(http)
            requests.warm_up()
            return {
                request.__name__: [recorder.record(request) for _ in range(times)]
                for request in (requests.hit, requests.miss, requests.batch)
            }
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _program() -> str:
    return str(Path(sys.executable).parent / "carprice")


def _run(command: Sequence[str], env: Mapping[str, str]) -> None:
    subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def _recorder(home: Path) -> Iterator[Recorder]:
    """Create the switch file, switched off, and the output folder."""
    lines = home / "calls"
    lines.mkdir()
    (home / "switch").write_bytes(b"\0")
    with (home / "switch").open("r+b") as file, mmap.mmap(file.fileno(), 1) as switch:
        yield Recorder(switch, lines)


@contextlib.contextmanager
def _service(home: Path, env: Mapping[str, str]) -> Iterator[httpx.Client]:
    """Run `carprice up` with the tracer; yield an HTTP client when the service is ready."""
    port = reserve_port()
    traced = {
        **env,
        "PORT": str(port),
        "FLOWER_PORT": str(reserve_port()),
        "CALL_TRACER": f"{home / 'switch'}:{home / 'calls'}:{ROOT}:{','.join(FOLDERS)}",
        "PYTHONPATH": str(ROOT / "scripts" / "call_tracer"),
    }
    with (home / "up.log").open("w") as log:
        process = subprocess.Popen(
            [_program(), "up"], cwd=ROOT, env=traced, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as http:
            _wait_until_ready(http, process, home / "up.log")
            yield http
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_TIMEOUT_S)


def _wait_until_ready(http: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if http.get("/readyz").json()["status"] == "ready":
                return
        time.sleep(0.1)
    raise RuntimeError(f"the service has not started:\n{log.read_text(encoding='utf-8')}")


def _csv(seed: int) -> bytes:
    """Write a CSV file of cars; each seed gives other cars."""
    draw = random.Random(seed)  # noqa: S311 - not used for security
    lines = ["company,model,year,fuel,transmission,km_driven,engine_cc"]
    lines += [
        f"{draw.choice(('Toyota,Corolla', 'Dacia,Logan'))},{draw.randint(2005, 2022)},"
        f"{draw.choice(('Petrol', 'Diesel'))},{draw.choice(('Manual', 'Automatic'))},"
        f"{draw.randrange(0, 300_000, 100)},1600"
        for _ in range(BATCH_ROWS)
    ]
    return "\n".join([*lines, ""]).encode()
