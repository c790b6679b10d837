"""Locked packages are installed by uv, and by pip wherever uv cannot."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPTIONS = ("--require-hashes", "-r", "requirements/runtime.txt")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A folder with programs that write down how they are called."""
    (tmp_path / "bin").mkdir()
    program(tmp_path, "python", "exit 0")
    return tmp_path


def program(environment: Path, name: str, ending: str) -> None:
    path = environment / "bin" / name
    path.write_text(f'#!/bin/sh\necho "{name} $*" >> {environment}/calls\n{ending}\n')
    path.chmod(0o755)


def install(environment: Path) -> "tuple[subprocess.CompletedProcess[str], list[str]]":
    done = subprocess.run(
        [ROOT / "scripts" / "install.sh", environment, *OPTIONS],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, (environment / "calls").read_text().splitlines()


def test_uv_installs_what_pip_would_install(environment: Path) -> None:
    program(environment, "uv", "exit 0")
    done, calls = install(environment)
    assert done.returncode == 0
    (call,) = calls
    assert call.startswith("uv pip install ")
    assert call.endswith("--no-deps --require-hashes -r requirements/runtime.txt")


def test_pip_installs_uv_first(environment: Path) -> None:
    program(environment, "python", f"cp /bin/true {environment}/bin/uv")
    done, calls = install(environment)
    assert done.returncode == 0
    (call,) = calls
    assert call.endswith("--no-deps --require-hashes -r requirements/installer.txt")


@pytest.mark.parametrize("ending", ["echo 'no such index' >&2; exit 2", "exit 1"])
def test_pip_installs_what_uv_cannot(environment: Path, ending: str) -> None:
    program(environment, "uv", ending)
    done, calls = install(environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert [call.split()[0] for call in calls] == ["uv", "python"]
    assert calls[1].endswith("--no-deps --require-hashes -r requirements/runtime.txt")


def test_pip_installs_everything_where_there_is_no_uv(environment: Path) -> None:
    program(environment, "python", 'case "$*" in *installer*) exit 1;; esac')
    done, calls = install(environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert [call.split()[-1] for call in calls] == [
        *("requirements/installer.txt", "requirements/runtime.txt"),
    ]


def test_what_pip_cannot_install_is_an_error_with_its_reason(environment: Path) -> None:
    program(environment, "uv", "exit 2")
    program(environment, "python", "echo 'no space left on device' >&2; exit 1")
    done, _ = install(environment)
    assert done.returncode == 1
    assert "no space left on device" in done.stderr
