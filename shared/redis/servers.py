"""The broker and the cache of the settings, or the embedded servers; and what is not supported."""

import dataclasses
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import redis

from shared.redis.addresses import server_location, with_ca_file
from shared.redis.connections import connect
from shared.settings import Settings, SettingsError

ServerName = Literal["broker", "cache"]

SOCKET_PATH_MAX_BYTES = 100
"""The kernel allows 108 bytes for the path of a Unix socket, some clients fewer."""


def with_server_urls(settings: Settings) -> Settings:
    """The settings with both URLs filled in and an absolute home.

    Raises:
        SettingsError: one of the URLs is invalid; the message does not show it.
    """
    for variable, url in (("REDIS_URL", settings.redis_url), ("CACHE_URL", settings.cache_url)):
        try:
            connect(url or "unix:///none").close()
        except ValueError:
            raise SettingsError(
                f"{variable} is not the address of a server: expected is one like "
                "redis://:password@host:6379/0"
            ) from None
    settings = dataclasses.replace(settings, home=settings.home.resolve())
    return dataclasses.replace(
        settings,
        redis_url=external_url(settings, settings.redis_url) or embedded_url(settings, "broker"),
        cache_url=external_url(settings, settings.cache_url) or embedded_url(settings, "cache"),
    )


def external_url(settings: Settings, url: str) -> str:
    """The URL of an external server with the authorities of the settings; "" stays "".

    Args:
        settings: with `redis_ca_file`.
        url: `redis_url` or `cache_url`.
    """
    ca_file = settings.redis_ca_file
    return with_ca_file(url, str(ca_file.absolute())) if ca_file else url


def refuse_cluster(*urls: str) -> None:
    """Refuse servers that belong to a Redis Cluster; one that does not answer is not judged.

    Raises:
        SettingsError: one of them does.
    """
    for url in urls:
        if url.startswith("unix://"):
            continue
        client = connect(url)
        try:
            is_cluster = client.info("cluster").get("cluster_enabled")
        except redis.RedisError:  # it is down, or its user may not ask
            continue
        finally:
            client.close()
        if is_cluster:
            raise SettingsError(
                f"the server at {server_location(url)} belongs to a Redis Cluster, which cannot "
                "run scripts over keys of several slots: use one primary with replicas and "
                "sentinels (sentinel://host:port,host:port/service)"
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
