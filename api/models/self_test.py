"""The self-test that a version passes before the API activates it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from model_store.registry.hosts import Activations
from shared.domain.errors import ModelNotTried, ModelRefused

CODE_ROOT = Path(__file__).resolve().parents[2]
SELF_TEST_TIMEOUT_S = 60.0
"""Most of it may go into compiling the kernels for the first time."""


class SelfTestRun(NamedTuple):
    """The self-test of a version in a child process."""

    reason: str
    """Why the version is refused; empty: it passed."""
    has_run: bool = True
    """False: the child process could not test it, for example without the libraries."""
    cause: Exception | None = None


def self_test_of(activations: Activations, versions_path: Path) -> Callable[[str], None]:
    """The test of a service: by its workers, if several hosts share their models.

    They have to load the version anyway, and this process may lack the libraries. Without workers
    that answer, or for a version that only this host has, a child process runs it.
    """

    def self_test(version: str) -> None:
        silent: ModelNotTried | None = None
        try:
            if activations.is_tried(version):
                return
        except ModelNotTried as error:
            silent = error
        found = _run(versions_path, version)
        if silent is not None and not found.has_run:
            raise silent
        _check(found, version)

    return self_test


def run_self_test(versions_path: Path, version: str) -> None:
    """Run `model_store.registry.trial` for a version in a child process.

    Raises:
        ModelRefused: the self-test failed or could not run; caused by `TimeoutExpired` if it did
            not end in time.
    """
    _check(_run(versions_path, version), version)


def _check(found: SelfTestRun, version: str) -> None:
    if found.reason:
        raise ModelRefused(version=version, reason=found.reason) from found.cause


def _run(versions_path: Path, version: str) -> SelfTestRun:
    # The child must not write to the metric files of this process.
    env = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
    path = str(versions_path.resolve())
    command = [sys.executable, "-m", "model_store.registry.trial", path, version]
    try:
        found = subprocess.run(
            command,
            cwd=CODE_ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SELF_TEST_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        reason = f"self-test: no result after {SELF_TEST_TIMEOUT_S:.0f} s"
        return SelfTestRun(reason, has_run=False, cause=error)
    if found.returncode == 0:
        return SelfTestRun("")
    reason = found.stdout.strip()
    return SelfTestRun(reason or _end_of(found), has_run=bool(reason))


def _end_of(process: "subprocess.CompletedProcess[str]") -> str:
    """Why a self-test ended without a result: its exit code and the last line of its error."""
    lines = process.stderr.strip().splitlines()
    return ": ".join([f"self-test: ended with code {process.returncode}", *lines[-1:]])
