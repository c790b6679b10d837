"""`make up`: start, printed addresses, restarts of killed processes, stop without leftovers."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from scripts.ports import reserve_port
from tests.conftest import (
    REFERENCE_CAR,
    ROOT,
    Servers,
    Service,
    responds,
    running_service,
    short_folder,
    wait_until,
)

pytestmark = pytest.mark.integration

COMMAND = [sys.executable, "-m", "cli.main", "up"]
GONE_TIMEOUT_S = 30.0
KINDS = (
    "broker",
    "cache",
    "flush",
    "interactive.1",
    "interactive.2",
    "bulk",
    "api",
    "beat",
    "flower",
)


@pytest.fixture
def home() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def refused(home: Path, **env: str) -> str:
    """Run a `carprice up` that does not start; return its one line of output."""
    answer = subprocess.run(
        COMMAND,
        cwd=ROOT,
        env={**os.environ, "CARPRICE_HOME": str(home), **env},
        capture_output=True,
        text=True,
        timeout=GONE_TIMEOUT_S,
        check=False,
    )
    assert answer.returncode == 2, answer.stdout + answer.stderr
    (line,) = answer.stderr.splitlines()
    return line


def name_of(process: psutil.Process, home: Path) -> str | None:
    """Return a process's name in the Procfile; "" for the supervisor; None: of another home."""
    with contextlib.suppress(psutil.Error):
        # The embedded servers overwrite their environment with their title.
        title = " ".join(process.cmdline())
        for server in ("broker", "cache"):
            if title.startswith(f"carprice-{server}") and str(home) in title:
                return server
        env = process.environ()
        if env.get("CARPRICE_HOME") == str(home):
            return env.get("HONCHO_PROCESS_NAME", "")
    return None


def processes_of(home: Path) -> list[psutil.Process]:
    """Return all processes of a home."""
    return [one for one in psutil.process_iter() if name_of(one, home) is not None]


def leader_of(home: Path, name: str) -> psutil.Process | None:
    """Return the main process of a name in the Procfile."""
    for process in psutil.process_iter():
        if name_of(process, home) == name:
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(process.pid) == process.pid:
                    return process
    return None


def predict(service: Service) -> httpx.Response:
    return httpx.post(f"{service.url}/predict", json=REFERENCE_CAR, timeout=30.0)


def is_ready(service: Service) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{service.url}/readyz", timeout=5.0).json()["status"] == "ready"
    return False


def test_the_first_start_trains_a_model_and_prints_the_addresses(home: Path) -> None:
    ports = {"PORT": str(reserve_port()), "FLOWER_PORT": str(reserve_port())}
    process = subprocess.Popen(
        ["make", "up"],
        cwd=ROOT,
        env={
            **os.environ,
            **ports,
            "CARPRICE_HOME": str(home),
            "MODELS_PATH": str(home / "models"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C stops everything" in line:
            break
    printed = "".join(lines)
    assert "training the default one" in printed
    address = f"http://127.0.0.1:{ports['PORT']}"
    for path in ("", "/docs", "/redoc", "/metrics"):
        assert f"{address}{path}\n" in printed
        assert httpx.get(f"{address}{path}", headers={"Accept": "text/html"}).is_success
    flower = f"http://127.0.0.1:{ports['FLOWER_PORT']}/"
    wait_until(lambda: responds(flower), what="Flower, which starts more slowly than the API")
    assert httpx.get(flower).is_success
    (example,) = re.findall(r"Try:  (curl .*)", printed)
    answer = subprocess.run(
        ["sh", "-c", f"{example} --silent --fail"], capture_output=True, check=True, text=True
    )
    assert '"price_mad"' in answer.stdout
    os.killpg(process.pid, signal.SIGINT)
    rest = process.stdout.read()
    process.wait(GONE_TIMEOUT_S)
    process.stdout.close()
    assert rest.rstrip().splitlines()[-2:][0].endswith("| stopped") or "| stopped" in rest
    assert processes_of(home) == []


def test_a_requested_stop_exits_with_0_and_prints_no_errors(home: Path, models_path: Path) -> None:
    with running_service(home, models_path) as service:
        assert predict(service).is_success
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(GONE_TIMEOUT_S) == 0
    assert processes_of(home) == []
    printed = (home / "up.log").read_text()
    assert re.findall(r"(?i)error|traceback|refused|lost|killed", printed) == []


def test_a_stop_during_the_first_training_leaves_no_process(home: Path) -> None:
    process = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={
            **os.environ,
            "CARPRICE_HOME": str(home),
            "MODELS_PATH": str(home / "models"),
            "PORT": str(reserve_port()),
            "FLOWER_PORT": str(reserve_port()),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # The supervisor, its watchdog and the training.
    wait_until(lambda: len(processes_of(home)) >= 3, what="the training has started")
    process.send_signal(signal.SIGINT)
    assert process.wait(GONE_TIMEOUT_S) == 0
    assert processes_of(home) == []
    assert "stopped" in (home / "logs" / "carprice.log").read_text()


@pytest.mark.faults
def test_every_killed_process_is_restarted_and_the_service_continues(
    home: Path, models_path: Path
) -> None:
    with running_service(home, models_path) as service:
        for name in KINDS:
            killed = leader_of(home, name)
            assert killed is not None, name
            killed.kill()
            wait_until(
                lambda killed=killed, name=name: leader_of(home, name) not in {None, killed},
                what=f"{name} has restarted",
            )
            wait_until(lambda: is_ready(service), 60.0, f"ready after {name} was killed")
            wait_until(lambda: predict(service).is_success, 60.0, f"an answer after {name}")
        printed = (home / "logs" / "carprice.log").read_text()
        assert printed.count("was ended by SIGKILL; it starts again") == len(KINDS)
        assert "Warning" not in (home / "up.log").read_text()


@pytest.mark.faults
def test_all_processes_of_a_killed_supervisor_end_and_the_next_one_starts(
    home: Path, models_path: Path
) -> None:
    with running_service(home, models_path) as service:
        service.process.kill()
        service.process.wait()
        wait_until(lambda: processes_of(home) == [], GONE_TIMEOUT_S, "all processes are gone")
    with running_service(home, models_path) as service:
        assert predict(service).is_success


@pytest.mark.faults
def test_the_service_stops_when_make_is_killed(home: Path, models_path: Path) -> None:
    shell = subprocess.Popen(
        ["sh", "-c", '"$@" & wait', "sh", *COMMAND, "--with-parent"],
        cwd=ROOT,
        env={
            **os.environ,
            "CARPRICE_HOME": str(home),
            "MODELS_PATH": str(models_path),
            "PORT": str(reserve_port()),
            "FLOWER_PORT": str(reserve_port()),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: len(processes_of(home)) > 5, GONE_TIMEOUT_S, "processes have started")
    shell.kill()
    shell.wait()
    wait_until(lambda: processes_of(home) == [], 60.0, "all processes are gone")


def test_a_second_run_in_the_same_home_is_refused(service: Service) -> None:
    line = refused(service.home, PORT=str(reserve_port()), FLOWER_PORT=str(reserve_port()))
    assert f"in use by process {service.process.pid}" in line


def test_a_port_in_use_is_named_with_an_alternative(service: Service, home: Path) -> None:
    port = httpx.URL(service.url).port
    assert port is not None
    line = refused(home, PORT=str(port), FLOWER_PORT=str(reserve_port()))
    assert f"port {port} on 127.0.0.1 cannot be used" in line
    assert f"PORT={port + 1}" in line
    assert processes_of(home) == []


def test_two_copies_run_side_by_side(service: Service, home: Path, models_path: Path) -> None:
    with running_service(home, models_path) as second:
        assert predict(second).is_success
        assert predict(service).is_success


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"PORT": "many"}, "PORT='many': expected a whole number"),
        ({"HOST": "0.0.0.0"}, "make key"),
        ({"FLOWER_ADDRESS": "0.0.0.0"}, "FLOWER_BASIC_AUTH"),
    ],
)
def test_invalid_settings_are_reported_in_one_line(
    home: Path, env: dict[str, Any], message: str
) -> None:
    assert message in refused(home, **env)


@pytest.fixture(scope="module")
def external(session_servers: Servers, models_path: Path) -> Iterator[Service]:
    """A service with external Redis servers and a password for Flower."""
    given = {
        "REDIS_URL": session_servers.settings.redis_url,
        "CACHE_URL": session_servers.settings.cache_url,
        "FLOWER_BASIC_AUTH": "me:secret",
    }
    with short_folder() as folder, running_service(folder, models_path, **given) as service:
        yield service


def test_external_servers_are_used_and_none_is_embedded(
    external: Service, session_servers: Servers
) -> None:
    assert predict(external).is_success
    names = {name_of(one, external.home) for one in processes_of(external.home)}
    assert not names & {"broker", "cache", "flush"}
    assert session_servers.cache.dbsize() > 0


def test_flower_requires_its_password_if_one_is_set(external: Service) -> None:
    page = wait_until(lambda: _page(external.flower_url), what="Flower")
    assert page.status_code == httpx.codes.UNAUTHORIZED
    assert httpx.get(external.flower_url, auth=("me", "secret")).is_success


def _page(url: str) -> httpx.Response | None:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url)
    return None
