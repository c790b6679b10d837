"""The self-test of a model version, run beside the API, which holds no forest."""

import os
import subprocess
import sys
from pathlib import Path

from shared.domain.errors import ModelRefused

CODE_ROOT = Path(__file__).resolve().parents[2]
SELF_TEST_TIMEOUT_S = 60.0
"""Compiling the forest's loops for the first time takes a good part of it on a slow machine."""


class ModelSelfTest:
    """Runs `model_store.trial` for a version.

    Args:
        versions_path: the registry's folder.
        timeout_s: so long may it take.
    """

    def __init__(self, versions_path: Path, timeout_s: float = SELF_TEST_TIMEOUT_S) -> None:
        self._path = versions_path.resolve()
        self._timeout_s = timeout_s

    def __call__(self, version: str) -> None:
        """Try a version.

        Raises:
            ModelRefused: it failed its self-test, or could not be tried.
        """
        # The counters of this process's metrics are not the trial's.
        env = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
        command = [sys.executable, "-m", "model_store.trial", str(self._path), version]
        try:
            found = subprocess.run(
                command,
                cwd=CODE_ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=self._timeout_s,
            )
        except subprocess.TimeoutExpired as error:
            reason = f"self-test: no result after {self._timeout_s:.0f} s"
            raise ModelRefused(version=version, reason=reason) from error
        if found.returncode != 0:
            reason = found.stdout.strip() or f"self-test: ended with code {found.returncode}"
            raise ModelRefused(version=version, reason=reason)
