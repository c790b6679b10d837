"""The quick part of `make cluster-test`: answers, models and keys of several hosts, with kills."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

SLACK = "20"
"""The machine of the tests may be busy: limits of time are those of a hang."""
CHECKS = ("answers and kills", "models", "keys", "names")


def test_guarantees_hold_across_hosts(tmp_path: Path) -> None:
    options = ["--quick", "--slack", SLACK, "--output", str(tmp_path)]
    chosen = [word for name in CHECKS for word in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cluster", *options, *chosen],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=390,
    )
    report = tmp_path / "cluster.json"
    assert report.exists(), done.stdout + done.stderr
    lines = json.loads(report.read_text())["lines"]
    assert [line for line in lines if line["is_kept"] is False] == [], done.stdout
    assert {line["check"] for line in lines} == set(CHECKS)
    assert done.returncode == 0
