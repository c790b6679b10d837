"""A smoke run of all scenarios, and the format of its result."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

RUN_MARK = f"{os.getpid()}-smoke"
"""Value of an environment variable that all processes of this run inherit."""

ROOT = Path(__file__).parents[2]
OWN = ("carprice", "carprice-full", "celery-plain", "celery-empty", "bare-flask")
FLAT = {"flat-hit", "flat-miss", "flat-jobs", "flat-stats"}
NEEDS_WRK = {"hit", "miss-16", "jobs", "submit", "beside", "behind"} | FLAT
SCENARIOS = NEEDS_WRK | {"roundtrip", "bulk", "inference-1", "inference-64", "inference-10000"}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a smoke run of the subjects that need no packages of the peers."""
    folder = tmp_path_factory.mktemp("results")
    chosen = [] if shutil.which("wrk") else ["roundtrip", "bulk", "inference"]
    options = [f"--subject={name}" for name in OWN] + [f"--scenario={name}" for name in chosen]
    line = [sys.executable, "-m", "benchmarks.run", "--smoke"]
    done = subprocess.run(
        [*line, "--output", str(folder), *options],
        cwd=ROOT,
        env={**os.environ, "BENCH_RUN_MARK": RUN_MARK},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def result(output: Path) -> dict[str, Any]:
    (path,) = output.glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.integration
def test_a_smoke_run_measures_every_scenario(result: dict[str, Any]) -> None:
    found = {one["scenario"] for one in result["rounds"]}
    assert found == (SCENARIOS if shutil.which("wrk") else SCENARIOS - NEEDS_WRK)
    assert result["left_out"] == {}


@pytest.mark.integration
def test_every_round_has_answers_and_no_failures(result: dict[str, Any]) -> None:
    for one in result["rounds"]:
        assert one["operations"] > 0, one
        assert one["failures"] == 0, one
        assert one["duration_s"] > 0, one


@pytest.mark.integration
def test_every_round_has_the_cpu_time_of_subject_and_load_generator(
    result: dict[str, Any],
) -> None:
    for one in result["rounds"]:
        assert one["subject_cpu_s"] > 0, one
        if not one["scenario"].startswith("inference"):
            assert one["client_cpu_s"] > 0, one


@pytest.mark.integration
def test_a_result_contains_command_machine_and_versions(result: dict[str, Any]) -> None:
    assert result["command"].startswith("python -m benchmarks.run --smoke")
    assert {"processor", "cores", "memory_gb", "python", "load_before"} <= set(result["machine"])
    assert {"carprice", "celery", "flask", "granian", "scikit-learn"} <= set(result["versions"])
    assert str(ROOT) not in json.dumps(result)


@pytest.mark.integration
def test_the_tables_compare_the_service_with_each_subject(output: Path) -> None:
    table = (output / "latest.md").read_text(encoding="utf-8")
    assert "## Targets" in table
    assert "## One client alone" in table
    assert "| ours : this |" in table


@pytest.mark.integration
def test_all_processes_of_the_run_have_ended(result: dict[str, Any]) -> None:
    assert result
    left = [
        line
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["environ"] or {}).get("BENCH_RUN_MARK") == RUN_MARK
        for line in [process.info["cmdline"]]
    ]
    assert left == []
