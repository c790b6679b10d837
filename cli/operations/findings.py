"""What `carprice doctor` finds, and what all its checks are given."""

import contextlib
import dataclasses
import pwd
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from launcher.readiness import server_error
from shared.redis.connections import RedisClient, connect
from shared.settings import Settings


class Level(StrEnum):
    """How bad a finding is."""

    FAULT = "fault"
    """Something does not work, or is open to others."""
    WARNING = "warning"
    """It works, but not as it should, or not for long."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that is wrong, in the language of the command."""

    level: Level
    text: str
    remedy: str = ""
    """What mends it: a command, as it can be typed, or a sentence."""


def fault(text: str, remedy: str = "") -> Finding:
    """Something that does not work."""
    return Finding(level=Level.FAULT, text=text, remedy=remedy)


def warning(text: str, remedy: str = "") -> Finding:
    """Something that works, but not as it should."""
    return Finding(level=Level.WARNING, text=text, remedy=remedy)


def as_owner(path: Path, command: str = "doctor") -> str:
    """The command as the user that a path belongs to; of one that is hidden, its folder's owner."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            number = place.stat().st_uid
            try:
                owner = pwd.getpwuid(number).pw_name
            except KeyError:  # of another machine, or of a container
                owner = f"'#{number}'"
            return f"sudo -u {owner} carprice {command}"
    return f"carprice {command}"


@dataclasses.dataclass(frozen=True)
class Installation:
    """What the checks look at; connections are made at their first use.

    Args:
        settings: with the addresses of both servers and absolute paths.
        given: the settings as they were given: without addresses of embedded servers.
    """

    settings: Settings
    given: Settings

    @cached_property
    def broker(self) -> RedisClient:
        """The broker."""
        return connect(self.settings.redis_url)

    @cached_property
    def cache(self) -> RedisClient:
        """The result cache."""
        return connect(self.settings.cache_url)

    @cached_property
    def broker_error(self) -> str | None:
        """Why the broker does not answer."""
        return server_error(self.settings.redis_url)

    @cached_property
    def cache_error(self) -> str | None:
        """Why the cache does not answer."""
        return server_error(self.settings.cache_url)

    @staticmethod
    def now() -> float:
        """Unix time, seconds."""
        return time.time()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A check of an installation."""

    name: str
    """In JSON; the same in every language."""
    title: str
    """English, for the catalogue."""
    find: Callable[[Installation], Iterable[Finding]]
    needs_broker: bool = False
    """Whether nothing can be said while the broker does not answer."""
