"""What a worker does when it cannot do its work."""

import subprocess
import sys

from tests.conftest import ROOT

BROKEN_START = """
from pathlib import Path

from celery import signals

from shared.settings import Settings
from worker.lifecycle import connect_signals
from worker.model import ModelRuntime


def start():
    raise OSError("no services")


settings = Settings(home=Path("unused"), redis_url="redis://127.0.0.1:1")
connect_signals(settings, ModelRuntime(Path("unused"), lambda: 0.0), start, print)
signals.worker_process_init.send(sender=None)
print("goes on")
"""


def test_a_process_that_cannot_start_ends_instead_of_failing_every_task() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN_START],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1, ended.stderr
    assert "goes on" not in ended.stdout
