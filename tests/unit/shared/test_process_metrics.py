"""Figures of processes are those of the kernel; other services and ended processes are left out."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from shared import process_figures, process_metrics
from shared.metric_files import FOLDER_VARIABLE
from shared.metrics import host_registry
from shared.process_figures import (
    HOME_VARIABLE,
    NAME_VARIABLE,
    SUPERVISOR,
    SUPERVISOR_VARIABLE,
    ProcessTable,
)
from shared.process_metrics import ProcessCollector
from tests.conftest import wait_until

OPEN_20 = "import sys; f = [open('/dev/null') for _ in range(20)]; print(1, flush=True)"
WAIT = "; sys.stdin.read()"
BURN = "import time\nwhile time.process_time() < 0.4: pass"


def start(
    home: Path, name: str, code: str, supervisor: int | None = None
) -> "subprocess.Popen[bytes]":
    """A process of a service, ready when this returns."""
    parent = str(supervisor or os.getpid())
    env = {HOME_VARIABLE: str(home), NAME_VARIABLE: name, SUPERVISOR_VARIABLE: parent}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def end(process: "subprocess.Popen[bytes]") -> None:
    process.communicate()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = start(tmp_path, "interactive.2", OPEN_20 + WAIT)
    yield process
    process.kill()
    end(process)


@pytest.mark.usefixtures("worker")
def test_a_process_has_its_memory_files_and_threads(tmp_path: Path) -> None:
    figures = ProcessTable(str(tmp_path)).read()
    # Earlier tests of this process may have started embedded servers, which are its children.
    assert set(figures) - {"broker", "cache"} == {"interactive.2", SUPERVISOR}
    one = figures["interactive.2"]
    assert 1_000_000 < one.resident_bytes < 100_000_000
    assert 23 <= one.open_files < 40
    assert one.files_share == pytest.approx(one.open_files / one.files_limit)
    assert one.threads == 1
    assert figures[SUPERVISOR].threads >= threading.active_count()


def test_an_ended_process_leaves_and_another_home_is_not_counted(
    tmp_path: Path, worker: "subprocess.Popen[bytes]"
) -> None:
    table = ProcessTable(str(tmp_path))
    assert "interactive.2" in table.read()
    assert ProcessTable(str(tmp_path / "other")).read() == {}
    end(worker)
    assert table.read() == {}


def test_the_time_of_ended_children_stays(tmp_path: Path) -> None:
    """Otherwise the counter would fall, and its rate jump, with every replaced pool process."""
    child = f"import subprocess; subprocess.run([sys.executable, '-c', {BURN!r}])"
    process = start(tmp_path, "bulk", f"import sys; {child}; print(1, flush=True){WAIT}")
    assert ProcessTable(str(tmp_path)).read()["bulk"].cpu_s >= 0.3
    end(process)


def test_a_child_belongs_to_the_process_that_started_it(tmp_path: Path) -> None:
    inner = "import sys; sys.stdin.read()"
    child = f"import subprocess; c = subprocess.Popen([sys.executable, '-c', {inner!r}], env={{}})"
    process = start(tmp_path, "bulk", f"import sys; {child}; print(1, flush=True){WAIT}")
    table = ProcessTable(str(tmp_path))
    wait_until(lambda: table.read()["bulk"].threads == 2, 10.0, "both processes")
    end(process)


def test_only_a_parent_is_the_supervisor(tmp_path: Path) -> None:
    """In a container the number is 1: that of the parent of all processes out here."""
    process = start(tmp_path, "bulk", f"import sys; print(1, flush=True){WAIT}", supervisor=1)
    assert set(ProcessTable(str(tmp_path)).read()) == {"bulk"}
    end(process)


def test_the_environment_of_a_process_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    first: list[int] = []
    second: list[int] = []
    for seen in (first, second):
        monkeypatch.setattr(
            process_figures, "_environment", lambda pid, to=seen: to.append(pid) or {}
        )
        generate_latest(host_registry())
    assert 1 in first
    assert 1 not in second


@pytest.mark.parametrize("name", [b"b\xff.1", b'x"} 1', b"a b"])
def test_a_name_that_is_none_does_not_stop_the_metrics(tmp_path: Path, name: bytes) -> None:
    env: dict[bytes, bytes] = {
        HOME_VARIABLE.encode(): os.fsencode(tmp_path),
        NAME_VARIABLE.encode(): name,
        SUPERVISOR_VARIABLE.encode(): "²".encode(),
    }
    code = "import sys; print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        registry = CollectorRegistry()
        registry.register(ProcessCollector(str(tmp_path)))
        assert b"process_threads{" not in generate_latest(registry)
        end(process)


@pytest.mark.usefixtures("worker")
def test_no_label_of_a_metric_is_a_process_id(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(ProcessCollector(str(tmp_path)))
    text = generate_latest(registry).decode()
    assert 'process="interactive.2",role="interactive"' in text
    assert str(os.getpid()) not in "".join(line.rpartition(" ")[0] for line in text.splitlines())
    for name in ("carprice_home_free_bytes", "carprice_memory_total_bytes", "carprice_cpus"):
        assert f"\n{name}{{" in text


def test_a_missing_home_has_no_disk(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(ProcessCollector(str(tmp_path / "missing")))
    assert "carprice_home_free_bytes{" not in generate_latest(registry).decode()


def disk_of(home: Path) -> str:
    """The label by which the disk of a home is known."""
    registry = CollectorRegistry()
    registry.register(ProcessCollector(str(home)))
    (name,) = set(
        re.findall(r'carprice_home_\w+\{disk="(\w+)"', generate_latest(registry).decode())
    )
    return name


def test_containers_on_one_disk_of_one_machine_name_it_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = disk_of(tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: "another-container")
    (tmp_path / "folder").mkdir()
    assert disk_of(tmp_path / "folder") == disk
    assert disk_of(Path("/dev/shm")) != disk
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("another machine")
    monkeypatch.setattr(process_metrics, "BOOT_ID", boot_id)
    assert disk_of(tmp_path) != disk
