"""The systemd unit fits the supervisor that it starts."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.liveness.systemd import INTERVAL_S
from launcher.procfile import API_KILL_MARGIN_S, TIER_STOP_TIMEOUTS_S, WORKER_STOP_S, read_procfile
from shared.settings import Settings
from tests.conftest import ROOT

UNIT = ROOT / "packaging" / "systemd" / "carprice.service"


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def test_systemd_waits_for_the_stop_of_the_supervisor(
    service: configparser.SectionProxy,
) -> None:
    assert int(service["TimeoutStopSec"]) > sum(TIER_STOP_TIMEOUTS_S)
    assert service["KillMode"] == "mixed", "only the supervisor is told to stop"


def test_systemd_expects_signs_of_life_less_often_than_they_are_sent(
    service: configparser.SectionProxy,
) -> None:
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > sum(TIER_STOP_TIMEOUTS_S) + INTERVAL_S


def test_the_command_is_one_that_is_installed(service: configparser.SectionProxy) -> None:
    program, *arguments = service["ExecStart"].split()
    installed = Path(sys.executable).parent / Path(program).name
    assert installed.exists()
    subprocess.run([installed, *arguments, "--help"], check=True, capture_output=True, cwd=ROOT)


ROLES = sorted(UNIT.parent.glob("carprice*@.service"))


@pytest.mark.parametrize("unit", ROLES, ids=lambda path: str(path.stem))
def test_a_unit_of_one_process_may_stop_as_long_as_the_process_takes(unit: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    service = parser["Service"]
    *_, command, kind = service["ExecStart"].split()
    assert command == "run"
    assert kind in {"%i", *read_procfile(ROOT / "Procfile")}
    given = dict(each.split("=", 1) for each in service["Environment"].split())
    delay_s = given.get("DRAIN_DELAY_S", "0")
    api_s = Settings.from_env({"DRAIN_DELAY_S": delay_s}).api_stop_s + API_KILL_MARGIN_S
    assert int(service["TimeoutStopSec"]) > max(api_s, WORKER_STOP_S)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("unit", [UNIT, *ROLES], ids=lambda path: str(path.stem))
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name.replace("@.", "@1.")
    copy.write_text(unit.read_text().replace("/opt/carprice/.venv/bin/carprice", "/bin/true"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
