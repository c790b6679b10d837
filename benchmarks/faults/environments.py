"""Faults that need a service of their own: a small disk, a proxy, a clock that can be moved."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.faults.injections import Fault
from benchmarks.faults.proxy import Mode, Proxy
from benchmarks.faults.running_service import RunningService
from benchmarks.processes import ROOT, environment
from scripts.ports import reserve_port
from shared.redis.servers import socket_path
from shared.settings import Settings
from tests.small_disk import NO_NAMESPACES, SmallDisk, kept_full, mounting, unshare_command

SMALL_DISK_MB = 400
FULL_S, LONG_FULL_S = 12.0, 60.0
PROXY_S = 6.0
HOUR_S = 3600
CLOCK_FOLDER = Path(__file__).parent / "clock"
ENV = {"BATCH_CHUNK_ROWS": "500"}

Say = Callable[[str], None]


@contextlib.contextmanager
def on_a_small_disk(
    folder: Path, models_path: Path, *, is_long: bool
) -> Iterator[tuple[RunningService, list[Fault]]]:
    """A service whose home is on a small disk, which is filled for some time.

    Raises:
        RuntimeError: no file system can be mounted here.
    """
    if unshare_command() is None:
        raise RuntimeError(NO_NAMESPACES)
    (folder / "home").mkdir(parents=True)
    prefix = mounting(folder / "home", SMALL_DISK_MB)
    service = RunningService(folder, models_path, ENV, prefix)

    def fill(seconds: float) -> Callable[[RunningService], float]:
        def inject(service: RunningService) -> float:
            assert service.program is not None
            with kept_full(SmallDisk(service.program.pid, service.home)):
                time.sleep(seconds)
            return time.time()

        return inject

    service.start()
    try:
        seconds = LONG_FULL_S if is_long else FULL_S
        name = f"14 disk full for {seconds:.0f} s"
        yield service, [Fault(name=name, inject=fill(seconds))]
    finally:
        service.stop()


@contextlib.contextmanager
def behind_a_proxy(folder: Path, models_path: Path) -> Iterator[tuple[RunningService, list[Fault]]]:
    """A service whose broker is reached through a proxy that misbehaves."""
    broker_home = folder / "broker"
    broker_home.mkdir(parents=True)
    port = reserve_port()
    with contextlib.ExitStack() as stack:
        broker = subprocess.Popen(
            [sys.executable, "-m", "launcher.embedded", "broker"],
            cwd=ROOT,
            env=environment({"CARPRICE_HOME": str(broker_home)}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(broker.wait)
        stack.callback(broker.terminate)
        proxy = stack.enter_context(Proxy(port, socket_path(Settings(home=broker_home), "broker")))
        service = RunningService(
            folder, models_path, {**ENV, "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
        )
        stack.callback(service.stop)
        service.start()

        def misbehave(mode: Mode) -> Callable[[RunningService], float]:
            def inject(_: RunningService) -> float:
                with proxy.misbehaving(mode):
                    time.sleep(PROXY_S)
                return time.time()

            return inject

        modes = (Mode.DROP_REPLIES, Mode.BLACKHOLE, Mode.HALF_OPEN)
        yield (
            service,
            [Fault(name=f"8 network to the broker: {m.value}", inject=misbehave(m)) for m in modes],
        )


@contextlib.contextmanager
def with_a_clock(folder: Path, models_path: Path) -> Iterator[tuple[RunningService, list[Fault]]]:
    """A service whose Python processes see another time of day."""
    folder.mkdir(parents=True, exist_ok=True)
    clock = folder / "clock"
    clock.write_text("0")
    path = f"{CLOCK_FOLDER}:{ROOT}"
    service = RunningService(
        folder, models_path, {**ENV, "CARPRICE_TEST_CLOCK": str(clock), "PYTHONPATH": path}
    )

    def jump(hours: int) -> Callable[[RunningService], float]:
        def inject(_: RunningService) -> float:
            clock.write_text(str(hours * HOUR_S))
            return time.time()

        return inject

    service.start()
    try:
        yield (
            service,
            [
                Fault(name="20a clock jumps back an hour", inject=jump(-1)),
                Fault(name="20b clock jumps forward an hour", inject=jump(0)),
            ],
        )
    finally:
        service.stop()
