"""The environment that every process of one run shares."""

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.redis.servers import embedded_url, socket_path
from shared.settings import Settings

CODE_ROOT = Path(__file__).parents[1]
"""Folder of the Procfile and of the packages."""

SINGLE_THREAD_ENV = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""The service scales by processes; threads of numeric libraries would fight over the cores."""


def with_absolute_paths(settings: Settings) -> Settings:
    """The same settings, valid from any working directory."""
    given: dict[str, Any] = {
        field.name: value.absolute()
        for field in dataclasses.fields(settings)
        if isinstance(value := getattr(settings, field.name), Path)
    }
    return dataclasses.replace(settings, **given)


def metrics_folder(settings: Settings, inherited: Mapping[str, str]) -> Path:
    """Where the processes of one run put their metrics."""
    given = inherited.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(given).absolute() if given else settings.home / "metrics"


def child_environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of the processes: every setting resolved, nothing left to a default.

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
        # Must stand before Python starts: the celery command imports prometheus_client early.
        "PROMETHEUS_MULTIPROC_DIR": str(metrics_folder(settings, inherited)),
        "NUMBA_CACHE_DIR": inherited.get("NUMBA_CACHE_DIR", str(settings.home / "numba")),
        "PYTHONUNBUFFERED": "1",
        "PATH": os.pathsep.join([programs, inherited.get("PATH", os.defpath)]),
    }


def single_host_environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a run with all processes on one host.

    The API's `/metrics` speaks for all of them there; workers with a port of their own would
    fight over it.
    """
    return {**child_environment(settings, inherited), "METRICS_PORT": ""}


def process_counts(settings: Settings) -> dict[str, int]:
    """How many processes of each line of the Procfile run here; one where nothing is said."""
    return {
        "broker": 0 if settings.redis_url else 1,
        "cache": 0 if settings.cache_url else 1,
        "flush": 0 if settings.redis_url else 1,
        "interactive": settings.interactive_workers,
    }


def embedded_sockets(settings: Settings) -> list[Path]:
    """Where the embedded servers of this run listen."""
    broker = [] if settings.redis_url else [socket_path(settings, "broker")]
    cache = [] if settings.cache_url else [socket_path(settings, "cache")]
    return broker + cache
