"""The self-test that a version passes before the API activates it."""

import os
import subprocess
import sys
from pathlib import Path

from shared.domain.errors import ModelRefused

CARD_DATA_FILE, MARKDOWN_FILE = "card.json", "card.md"
"""Files of a model card: data of the page, and text."""


CODE_ROOT = Path(__file__).resolve().parents[2]
SELF_TEST_TIMEOUT_S = 60.0
"""Most of it may go into compiling the kernels for the first time."""


class ModelSelfTest:
    """Runs `model_store.registry.trial` for a version in a child process.

    Args:
        versions_path: the registry's folder.
        timeout_s: longest run.
    """

    def __init__(self, versions_path: Path, timeout_s: float = SELF_TEST_TIMEOUT_S) -> None:
        self._path = versions_path.resolve()
        self._timeout_s = timeout_s

    def __call__(self, version: str) -> None:
        """Test a version.

        Raises:
            ModelRefused: the self-test failed or could not run.
        """
        # The child must not write to the metric files of this process.
        env = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
        command = [sys.executable, "-m", "model_store.registry.trial", str(self._path), version]
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
