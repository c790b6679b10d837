"""Metric files: a full disk delays them but stops no process, and they outlive processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.metric_files import is_in_memory, is_in_use
from tests.conftest import ROOT
from tests.small_disk import NO_NAMESPACES, SmallDisk, mounting, unshare_command

SHARED_MEMORY = Path("/dev/shm")
needs_namespaces = pytest.mark.skipif(unshare_command() is None, reason=NO_NAMESPACES)

LIBRARY_ALONE = """
import os, sys
from prometheus_client import Counter
counter = Counter("count_total", "Count.", ["label"])
"""
NOT_MAPPED = """
import shared.metric_files
shared.metric_files.is_in_memory = lambda _: False
"""
WITH_METRIC_FILES = """
import os, sys, time
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from shared.metric_files import share_metrics
share_metrics()
counter = Counter("count_total", "Count.", ["label"])

def total(text):
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    lines = generate_latest(registry).decode().splitlines()
    values = [line.rpartition(" ")[2] for line in lines if line.startswith("count_total{")]
    print(text, sum(map(float, values)), flush=True)
"""
COUNT_MANY = """
print("ready", flush=True)
sys.stdin.readline()
for number in range(2000):
    counter.labels(f"label {number} " + 50 * "x").inc()
print("counted", flush=True)
sys.stdin.readline()
"""


def start(
    preamble: str, code: str, folder: Path, prefix: tuple[str, ...] = ()
) -> "subprocess.Popen[str]":
    """Run code with metrics in a folder."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", preamble + textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def tell(process: "subprocess.Popen[str]") -> None:
    """Send an empty line."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def read(process: "subprocess.Popen[str]") -> str:
    """Return the next line of output."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a file system in memory."""
    folder = SHARED_MEMORY / f"carprice-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-r", str(folder)], check=True)


def run(code: str, folder: Path, preamble: str = WITH_METRIC_FILES) -> list[str]:
    """Return the lines that code prints."""
    process = start(preamble, code, folder)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return printed.splitlines()


@needs_namespaces
def test_the_library_alone_is_killed_on_a_full_disk(tmp_path: Path) -> None:
    prefix = tuple(mounting(tmp_path, 1))
    process = start(LIBRARY_ALONE, COUNT_MANY, tmp_path, prefix)
    assert read(process) == "ready"
    SmallDisk(process.pid, tmp_path).fill()
    tell(process)
    assert process.wait(60) == -signal.SIGBUS
    process.communicate()


CONTINUE = """
counter.labels("one more").inc()
total("then")
sys.stdin.readline()
time.sleep(1.1)
counter.labels("one more").inc()
total("after")
"""


@needs_namespaces
@pytest.mark.parametrize("kind", ["mapped", "written"])
def test_a_full_disk_delays_the_files_and_stops_no_process(tmp_path: Path, kind: str) -> None:
    prefix = tuple(mounting(tmp_path, 1))
    preamble = WITH_METRIC_FILES if kind == "mapped" else NOT_MAPPED + WITH_METRIC_FILES
    process = start(preamble, COUNT_MANY + CONTINUE, tmp_path, prefix)
    assert read(process) == "ready"
    disk = SmallDisk(process.pid, tmp_path)
    disk.fill()
    tell(process)
    assert read(process) == "counted"
    tell(process)
    word, behind = read(process).split()
    assert word == "then"
    assert float(behind) < 2001
    disk.free()
    tell(process)
    assert read(process) == "after 2002.0"
    assert process.wait(60) == 0
    process.communicate()


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_successor_continues_the_counters_in_the_same_files(
    where: str, memory: Path, tmp_path: Path
) -> None:
    folder = memory if where == "memory" else tmp_path
    for count in (1, 2, 3):
        code = "counter.labels('a').inc(); counter.labels('b').inc(2); total('sum')"
        assert run(code, folder) == [f"sum {3.0 * count}"]
    assert [each.name for each in folder.glob("*.db")] == ["counter_0.db"]


def test_forked_processes_have_slots_of_their_own_and_killed_ones_free_theirs(memory: Path) -> None:
    code = """
        import signal
        for _ in range(5):
            counter.labels("parent").inc()
            child = os.fork()
            if child == 0:
                counter.labels("child").inc()
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
        total("sum")
    """
    assert run(code, memory) == ["sum 10.0"]
    assert sorted(each.name for each in memory.glob("*.db")) == ["counter_0.db", "counter_1.db"]


def test_a_damaged_file_is_started_again(memory: Path) -> None:
    (memory / "counter_0.db").write_bytes(b"\xff\xff\xff\x7f" + bytes(100))
    assert run("counter.labels('a').inc(); total('sum')", memory) == ["sum 1.0"]


def test_a_folder_that_cannot_be_made_stops_no_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code = "counter.labels('a').inc(); print(counter.labels('a')._value.get())"
    assert run(code, tmp_path / "file" / "metrics") == ["1.0"]


def test_a_folder_is_in_use_while_a_process_runs(memory: Path) -> None:
    assert not is_in_use(memory)
    process = start(WITH_METRIC_FILES, "print('up', flush=True); sys.stdin.readline()", memory)
    assert read(process) == "up"
    assert is_in_use(memory)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while is_in_use(memory) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_in_use(memory)


def test_shared_memory_is_in_memory_and_a_disk_is_not() -> None:
    assert is_in_memory(SHARED_MEMORY / "any")
    assert not is_in_memory(ROOT)
