"""The environment variables and process counts of a run."""

import dataclasses
import hashlib
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.metric_files import FOLDER_VARIABLE, is_in_memory
from shared.process_figures import SUPERVISOR_VARIABLE
from shared.redis.servers import ServerName, embedded_url
from shared.settings import Settings

CODE_ROOT = Path(__file__).parents[1]
"""Folder of the Procfile and the packages."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - for a private folder in it
"""File system in memory that Linux provides."""

SINGLE_THREAD_ENV = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""Set to 1: the service scales by processes, which the threads of numeric libraries would slow."""


def with_absolute_paths(settings: Settings) -> Settings:
    """The settings with absolute paths, valid in any working directory."""
    given: dict[str, Any] = {
        field.name: value.absolute()
        for field in dataclasses.fields(settings)
        if isinstance(value := getattr(settings, field.name), Path)
    }
    return dataclasses.replace(settings, **given)


def metrics_folder(settings: Settings, inherited: Mapping[str, str]) -> Path:
    """Folder of the metric files of a run: in memory, so that no full disk stops their writers.

    Without such a file system it is in the home, where the files are written but not mapped.
    """
    given = inherited.get(FOLDER_VARIABLE)
    if given:
        return Path(given).absolute()
    home = hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:12]
    folder = SHARED_MEMORY / f"carprice-{os.getuid()}-{home}"
    return folder if _is_private_memory(folder) else settings.home / "metrics"


def _is_private_memory(folder: Path) -> bool:
    """Whether a folder is in memory and only this user can write to it, or it can be made so."""
    if not is_in_memory(folder.parent):
        return False
    try:
        owner = folder.lstat()
    except FileNotFoundError:
        return os.access(folder.parent, os.W_OK | os.X_OK)
    except OSError:
        return False
    return stat.S_ISDIR(owner.st_mode) and owner.st_uid == os.getuid() and not owner.st_mode & 0o022


def child_environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of the processes, with every setting given explicitly.

    Args:
        settings: with absolute paths.
        inherited: the environment of this process.
    """
    resolved = {
        field.metadata["env"]: str(value)
        for field in dataclasses.fields(settings)
        if (value := getattr(settings, field.name)) not in (None, "")
    }
    programs = str(Path(sys.executable).parent)
    return {
        **dict.fromkeys(SINGLE_THREAD_ENV, "1"),
        **inherited,
        **resolved,
        "REDIS_URL": settings.redis_url or embedded_url(settings, "broker"),
        "CACHE_URL": settings.cache_url or embedded_url(settings, "cache"),
        # prometheus_client reads it on import, which the celery command does early.
        FOLDER_VARIABLE: str(metrics_folder(settings, inherited)),
        # The Procfile needs what follows from several settings.
        "API_STOP_S": str(settings.api_stop_s),
        "NUMBA_CACHE_DIR": inherited.get("NUMBA_CACHE_DIR", str(settings.home / "numba")),
        "PYTHONUNBUFFERED": "1",
        "PATH": os.pathsep.join([programs, inherited.get("PATH", os.defpath)]),
    }


def single_host_environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a run with all processes on one host.

    `/metrics` of the API covers all of them, and workers with `METRICS_PORT` would conflict.
    """
    env = child_environment(settings, inherited)
    return {**env, "METRICS_PORT": "", SUPERVISOR_VARIABLE: str(os.getpid())}


def process_counts(settings: Settings) -> dict[str, int]:
    """Number of processes of each line of the Procfile; lines that are missing here have one."""
    return {
        "broker": 0 if settings.redis_url else 1,
        "cache": 0 if settings.cache_url else 1,
        "flush": 0 if settings.redis_url else 1,
        "interactive": settings.interactive_workers,
    }


def embedded_urls(settings: Settings) -> list[str]:
    """URLs of the embedded servers of this run."""
    given: dict[ServerName, str] = {"broker": settings.redis_url, "cache": settings.cache_url}
    return [embedded_url(settings, name) for name, url in given.items() if not url]
