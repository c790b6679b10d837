"""The environment variables and process counts of a run."""

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.redis.servers import ServerName, embedded_url
from shared.settings import Settings

CODE_ROOT = Path(__file__).parents[1]
"""Folder of the Procfile and the packages."""

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
    """Folder of the metric files of a run."""
    given = inherited.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(given).absolute() if given else settings.home / "metrics"


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
        "PROMETHEUS_MULTIPROC_DIR": str(metrics_folder(settings, inherited)),
        "NUMBA_CACHE_DIR": inherited.get("NUMBA_CACHE_DIR", str(settings.home / "numba")),
        "PYTHONUNBUFFERED": "1",
        "PATH": os.pathsep.join([programs, inherited.get("PATH", os.defpath)]),
    }


def single_host_environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a run with all processes on one host.

    `/metrics` of the API covers all of them, and workers with `METRICS_PORT` would conflict.
    """
    return {**child_environment(settings, inherited), "METRICS_PORT": ""}


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
