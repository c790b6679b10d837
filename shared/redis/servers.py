"""Addresses of the broker and the cache: from the settings, or of the embedded servers."""

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
"""The kernel allows 108 bytes for the path of a Unix socket, some clients fewer."""


def with_server_urls(settings: Settings) -> Settings:
    """The settings with both URLs filled in and an absolute home."""
    settings = dataclasses.replace(settings, home=settings.home.resolve())
    return dataclasses.replace(
        settings,
        redis_url=settings.redis_url or embedded_url(settings, "broker"),
        cache_url=settings.cache_url or embedded_url(settings, "cache"),
    )


def socket_path(settings: Settings, name: ServerName) -> Path:
    """Path of the Unix socket of an embedded server.

    If the path inside the home is too long, the socket is in a private folder of the system's
    temporary folder.
    """
    wanted = settings.home.resolve() / "run" / f"{name}.sock"
    if len(os.fsencode(wanted)) <= SOCKET_PATH_MAX_BYTES:
        return wanted
    home = hashlib.sha256(os.fsencode(settings.home.resolve())).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"carprice-{os.getuid()}-{home}" / f"{name}.sock"


def embedded_url(settings: Settings, name: ServerName) -> str:
    """URL of an embedded server for `redis.from_url`."""
    return f"unix://{quote(str(socket_path(settings, name)))}"
