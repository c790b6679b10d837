"""Checks of the broker and the result cache."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import redis

from cli.operations.findings import Finding, Installation, as_owner, fault, warning
from launcher.readiness import forbidden
from shared.i18n.command import gettext as _
from shared.redis.addresses import (
    REDIS_PORT,
    TLS_SCHEMES,
    parse_address,
    server_location,
)
from shared.redis.connections import RedisClient

MIN_VERSION = (7, 0)
"""Of Redis: the first whose scripts may write while memory is short, and that extends lifetimes."""

FULL_SHARE = 0.9
NO_EVICTION = "noeviction"


def check_broker(found: Installation) -> Iterator[Finding]:
    """The broker answers, keeps what it has accepted, and evicts nothing."""
    url = found.settings.redis_url
    if found.broker_error is not None:
        yield _silent(
            _("the broker"), url, found.broker_error, is_embedded=not found.given.redis_url
        )
        return
    info = _info(found.broker)
    yield from _version(_("the broker"), info)
    policy = info.get("maxmemory_policy", NO_EVICTION)
    if policy != NO_EVICTION:
        text = _("the broker evicts accepted work when its memory is full ({policy})")
        remedy = _redis_cli(url, "CONFIG SET maxmemory-policy noeviction")
        yield fault(text.format(policy=policy), remedy)
    if not info.get("aof_enabled", 1):
        text = _("the broker keeps no append-only file: accepted work is lost when it ends")
        yield fault(text, _redis_cli(url, "CONFIG SET appendonly yes"))
    elif info.get("aof_last_write_status", "ok") != "ok":
        yield fault(
            _("the broker cannot write its append-only file"), f"df -h {found.settings.home}"
        )
    limit, used = info.get("maxmemory", 0), info.get("used_memory", 0)
    if limit and used > FULL_SHARE * limit:
        text = _("the broker uses {used} of {limit} MB of memory")
        members = {"used": used // 1_000_000, "limit": limit // 1_000_000}
        yield warning(text.format(**members), "BROKER_MAX_MEMORY")


def check_cache(found: Installation) -> Iterator[Finding]:
    """The cache answers, and evicts when it is full."""
    settings = found.settings
    if found.cache_error is not None:
        is_embedded = not found.given.cache_url
        yield _silent(
            _("the cache"), settings.cache_url, found.cache_error, is_embedded=is_embedded
        )
        return
    info = _info(found.cache)
    yield from _version(_("the cache"), info)
    if server_location(settings.cache_url) == server_location(settings.redis_url):
        text = _("broker and cache are the same server: prices take the memory of accepted work")
        yield warning(text, "CACHE_URL")
        return
    if info.get("maxmemory", 0) and info.get("maxmemory_policy") == NO_EVICTION:
        text = _("the cache does not evict: when it is full, nothing new is kept")
        remedy = _redis_cli(settings.cache_url, "CONFIG SET maxmemory-policy allkeys-lru")
        yield warning(text, remedy)
    if not info.get("maxmemory", 1):
        text = _("the cache has no limit of memory")
        yield warning(text, _redis_cli(settings.cache_url, "CONFIG SET maxmemory 128mb"))


def _info(client: RedisClient) -> Mapping[str, Any]:
    """What a server tells of itself; empty if its user may not ask."""
    try:
        info: Mapping[str, Any] = client.info()
    except redis.RedisError:
        return {}
    return info


def _version(name: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(info.get("redis_version", ""))
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    if numbers and tuple(numbers) < MIN_VERSION:
        text = _("{name} is Redis {version}; it must be 7.0 or newer, or Valkey")
        yield fault(text.format(name=name, version=version), "apt-get install redis-server")


def _silent(name: str, url: str, reason: str, *, is_embedded: bool) -> Finding:
    text = _("{name} at {address} does not answer: {reason}")
    members = {"name": name, "address": server_location(url), "reason": reason}
    if not is_embedded:
        return fault(text.format(**members), _redis_cli(url, "PING"))
    socket = Path(server_location(url))
    remedy = as_owner(socket) if reason == forbidden() else "carprice up"
    return fault(text.format(**members), remedy)


def _redis_cli(url: str, command: str) -> str:
    """The command that sends `command` to the primary of a server URL; it shows no password."""
    address = parse_address(url)
    path = address.options.get("path")
    if path is not None:
        return shlex.join(["redis-cli", "-s", str(path)]) + f" {command}"
    # Only the sentinels know which server is the primary.
    host, port = ("PRIMARY", REDIS_PORT) if address.sentinels else address.places[0]
    tls = " --tls" if address.scheme in TLS_SCHEMES else ""
    user = address.options.get("username")
    login = f" --user {shlex.quote(user)}" if user else ""
    login += " --askpass" if address.options.get("password") else ""
    return f"redis-cli -h {host} -p {port}{tls}{login} {command}"
