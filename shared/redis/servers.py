"""Where this process finds the broker and the cache: given, or embedded."""

import dataclasses
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from shared.settings import Settings

ServerName = Literal["broker", "cache"]

SOCKET_PATH_MAX_BYTES = 100
"""The kernel's limit for the path of a Unix socket is 108, and some clients count less."""


def with_server_urls(settings: Settings) -> Settings:
    """The settings with both URLs filled in and an absolute home."""
    settings = dataclasses.replace(settings, home=settings.home.resolve())
    return dataclasses.replace(
        settings,
        redis_url=settings.redis_url or embedded_url(settings, "broker"),
        cache_url=settings.cache_url or embedded_url(settings, "cache"),
    )


def socket_path(settings: Settings, name: ServerName) -> Path:
    """Where the embedded server listens.

    Falls back to a short private folder under the system's temporary one when the path inside
    the home is longer than a Unix socket's may be.
    """
    wanted = settings.home.resolve() / "run" / f"{name}.sock"
    if len(os.fsencode(wanted)) <= SOCKET_PATH_MAX_BYTES:
        return wanted
    home = hashlib.sha256(os.fsencode(settings.home.resolve())).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"carprice-{os.getuid()}-{home}" / f"{name}.sock"


def embedded_url(settings: Settings, name: ServerName) -> str:
    """The embedded server's address, as `redis.from_url` reads it."""
    return f"unix://{quote(str(socket_path(settings, name)))}"
