"""The systemd unit fits the supervisor that it starts."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.liveness.systemd import INTERVAL_S
from launcher.procfile import TIER_STOP_TIMEOUTS_S
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


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/carprice/.venv/bin/carprice", "/bin/true"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
