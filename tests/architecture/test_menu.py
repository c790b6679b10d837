"""`make` lists its commands, and names missing requirements in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def make_venv(python: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "scripts" / "make-venv.sh", python, folder],
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_without_a_target_lists_the_commands() -> None:
    answer = make()
    assert answer.returncode == 0
    for target in ("up", "test", "check", "train", "key", "lock", "clean"):
        assert f"  make {target} " in answer.stdout


def test_every_listed_target_exists() -> None:
    menu = [line.split()[1] for line in make().stdout.splitlines() if line.startswith("  make ")]
    answer = make("--dry-run", *menu)
    assert answer.returncode == 0, answer.stderr


@pytest.fixture
def interpreter(tmp_path: Path) -> str:
    """Path of a program that tests use in place of an interpreter."""
    return str(tmp_path / "python-of-a-test")


def write_interpreter(path: str, script: str) -> None:
    Path(path).write_text(f"#!/bin/sh\n{script}\n")
    Path(path).chmod(0o755)


def test_a_missing_python_is_reported_in_one_line(tmp_path: Path, interpreter: str) -> None:
    answer = make_venv(interpreter, tmp_path / "venv")
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert "there is no" in line
    assert "apt install python3 python3-venv" in line


def test_a_python_that_does_not_run_is_reported_in_one_line(
    tmp_path: Path, interpreter: str
) -> None:
    write_interpreter(interpreter, "echo 'no such version' >&2; exit 127")
    answer = make_venv(interpreter, tmp_path / "venv")
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert "does not run" in line


def test_an_old_python_is_reported_in_one_line_with_its_version(
    tmp_path: Path, interpreter: str
) -> None:
    write_interpreter(interpreter, 'case "$2" in *version_info*) exit 1;; *) echo 3.9.2;; esac')
    answer = make_venv(interpreter, tmp_path / "venv")
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert "Python 3.11 or newer is needed" in line
    assert "is 3.9.2" in line


def test_a_python_without_venv_is_reported_in_one_line(tmp_path: Path, interpreter: str) -> None:
    write_interpreter(
        interpreter,
        'case "$2" in *ensurepip*) echo "No module named ensurepip" >&2; exit 1;; esac',
    )
    answer = make_venv(interpreter, tmp_path / "venv")
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert "comes without venv" in line
    assert "apt install python3-venv" in line


def test_a_suitable_python_gets_a_virtual_environment(tmp_path: Path) -> None:
    answer = make_venv(getattr(sys, "_base_executable", sys.executable), tmp_path / "venv")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert (tmp_path / "venv" / "bin" / "pip").exists()


def test_make_env_writes_new_secrets_that_only_the_owner_can_read(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    script = [str(ROOT / "scripts" / "make-env.sh"), str(target)]
    subprocess.run(script, cwd=ROOT, check=True, capture_output=True)
    variables = dict(
        line.split("=", 1) for line in target.read_text().splitlines() if line[:1].isupper()
    )
    secrets = [variables[f"{name}_PASSWORD"] for name in ("REDIS", "CACHE", "EXPORTER")]
    assert all(len(secret) == 32 and secret.isalnum() for secret in secrets)
    assert len(set(secrets)) == 3
    assert variables["FLOWER_BASIC_AUTH"].startswith("operator:")
    assert variables["SMTP_PASSWORD"] == ""
    assert target.stat().st_mode & 0o777 == 0o600
    again = subprocess.run(script, cwd=ROOT, check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "exists already" in again.stderr
