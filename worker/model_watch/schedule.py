"""Scheduled retraining: a child process of low priority trains while the worker waits for it."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_store.registry.atomic_files import write_atomically
from shared.domain.clock import Clock
from shared.logging import get_logger
from shared.metric_files import FOLDER_VARIABLE
from shared.metrics import RETRAININGS
from shared.settings import Settings

STAMP_FILE = "retraining-schedule.json"
"""In the registry's folder: when the last scheduled retraining began and ended, Unix time."""
RETRY_S = 3_600.0
"""A retraining that did not end, because its worker was stopped, is begun again after this time."""
CODE_ROOT = Path(__file__).parents[2]
_MESSAGE_CHARS = 300

log = get_logger("retraining")


class RetrainingSchedule:
    """Retrains when it is due.

    Args:
        settings: with `retrain_data`; None there: nothing is ever due.
        clock: the time of day.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._stamp = settings.versions_path / STAMP_FILE

    def run(self) -> None:
        """Retrain if it is due, and return when that has ended."""
        data = self._settings.retrain_data
        if data is None or not self._is_due():
            return
        started_at = self._clock()
        self._write_stamp({"started_at": started_at})
        decision, reason = self._retrain(data)
        RETRAININGS.labels(decision=decision).inc()
        report = log.warning if decision == "failed" else log.info
        report("retrained", decision=decision, reason=reason)
        self._write_stamp({"started_at": started_at, "ended_at": self._clock()})

    def _is_due(self) -> bool:
        try:
            stamp = json.loads(self._stamp.read_text("utf-8"))
            started_at, ended_at = float(stamp["started_at"]), stamp.get("ended_at")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return True
        now = self._clock()
        if now < started_at:  # the clock was set back
            return True
        if ended_at is None:
            return now - started_at >= RETRY_S
        return now - started_at >= 3_600.0 * self._settings.retrain_every_h

    def _write_stamp(self, stamp: Mapping[str, float]) -> None:
        """Store the times.

        Raises:
            OSError: the disk refuses; nothing is trained then.
        """
        self._stamp.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._stamp, json.dumps(stamp).encode())

    def _retrain(self, data: Path) -> tuple[str, str]:
        """The decision of `carprice retrain`, or `failed`, and the reason."""
        command = [sys.executable, "-m", "cli.main", "retrain", "--if-better", "--scheduled"]
        # The child ends when the writing end is closed: also if this process is killed.
        reading, writing = os.pipe()
        with tempfile.TemporaryFile() as errors:
            child = subprocess.Popen(
                [*command, "--json", "--data", str(data)],
                cwd=CODE_ROOT,
                env=_child_environment(self._settings),
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            try:
                os.close(reading)
                output, _ = child.communicate()
            finally:
                os.close(writing)
                with contextlib.suppress(OSError):
                    child.kill()
                child.wait()
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
        return _decision(child.returncode, output, said)


def _decision(status: int, output: bytes, said: str) -> tuple[str, str]:
    if status == 0:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found: dict[str, Any] = json.loads(output)
            return str(found["decision"]), str(found["reason"])
    last = said.splitlines()[-1] if said else ""
    return "failed", f"exit code {status}: {last[-_MESSAGE_CHARS:]}"


def _child_environment(settings: Settings) -> dict[str, str]:
    """This process's environment with the paths of its settings, and without its metrics."""
    environment = {name: value for name, value in os.environ.items() if name != FOLDER_VARIABLE}
    return environment | {
        "CARPRICE_HOME": str(settings.home.resolve()),
        "MODELS_PATH": str(settings.versions_path.resolve()),
        "OMP_NUM_THREADS": "1",
    }
