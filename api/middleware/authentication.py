"""Who may call: API keys with scopes, kept as hashes; open on loopback while there are none."""

import dataclasses
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache, wraps
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import Flask, current_app, g, request

from shared.domain.errors import NotAuthenticated, NotPermitted
from shared.logging import get_logger
from shared.settings import Settings, SettingsError

P = ParamSpec("P")
R = TypeVar("R")
KEY_BYTES = 32
REFRESH_INTERVAL_S = 1.0
CACHED_HOST_MAX_CHARS = 64
_CALLER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")

log = get_logger("auth")
EXTENSION = "carprice-authenticator"


class Scope(StrEnum):
    """What a key allows."""

    PREDICT = "predict"
    BULK = "bulk"
    ADMIN = "admin"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who makes the current request."""

    id: str
    scopes: frozenset[Scope]


LOCAL_CALLER = Caller(id="local", scopes=frozenset(Scope))
"""Every caller on a loopback address without keys."""


def new_key(caller_id: str, scopes: frozenset[Scope]) -> tuple[str, dict[str, Any]]:
    """Make a key, to be shown once, and the entry to store, which holds the key's hash only."""
    key = f"cp_{secrets.token_urlsafe(KEY_BYTES)}"
    return key, {"caller": caller_id, "hash": hash_key(key), "scopes": sorted(scopes)}


def hash_key(key: str) -> str:
    """SHA-256 of a key. A key has 256 random bits: a slow hash would protect nothing more."""
    return hashlib.sha256(key.encode()).hexdigest()


def load_keys(path: Path) -> Mapping[str, Caller]:
    """The callers by the hash of their key; empty when the file is missing.

    Raises:
        SettingsError: the file cannot be read as keys.
    """
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text("utf-8"))
        return dict(_load_entry(entry) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: not a file of API keys ({error}); see `make key`") from error


def _load_entry(entry: Mapping[str, Any]) -> tuple[str, Caller]:
    """The hash of a key and its caller."""
    if not _HASH.fullmatch(entry["hash"]):
        raise ValueError(f"{entry['hash']!r} is not a SHA-256 in hexadecimal")
    scopes = frozenset(Scope(scope) for scope in entry["scopes"])
    return entry["hash"], Caller(id=validate_caller(entry["caller"]), scopes=scopes)


def validate_caller(name: str) -> str:
    """Return `name` if it is a valid name of a caller.

    Names are parts of Redis keys, so they must not contain separators.

    Raises:
        ValueError: another character or length.
    """
    if not _CALLER.fullmatch(name):
        raise ValueError(f"caller {name!r}: expected 1 to 64 of the signs A-Z a-z 0-9 . _ -")
    return name


class KeyFile:
    """The keys of a file, which is checked for changes at most once a second.

    Args:
        path: the file; while there is none, there are no keys.
        clock: monotonic time in seconds.

    Raises:
        SettingsError: the file cannot be read as keys.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._refreshed_at = clock()
        self._file_stat = self._stat()
        self._keys = load_keys(path)

    @property
    def exists(self) -> bool:
        """Whether there is a file. With an empty one nobody may call."""
        self._refresh()
        return self._file_stat is not None

    def caller(self, key: str) -> Caller | None:
        """The caller of a key; None if the key is unknown."""
        self._refresh()
        digest = hash_key(key)
        for known, caller in self._keys.items():
            if hmac.compare_digest(known, digest):
                return caller
        return None

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._refreshed_at < REFRESH_INTERVAL_S:
            return
        self._refreshed_at = now
        try:
            stamp = self._stat()
            if stamp == self._file_stat:
                return
            self._keys = load_keys(self._path)
        except (SettingsError, OSError) as error:
            # Keep the valid keys: a mistake in the file must not lock everybody out.
            log.exception("api_keys_unreadable", error=str(error))
            return
        self._file_stat = stamp

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


class Authenticator:
    """Finds the caller of a request.

    Args:
        settings: with the file of keys and the address the service listens on.

    Raises:
        SettingsError: the address can be reached from other machines, and there are no keys.
    """

    def __init__(self, settings: Settings) -> None:
        self._key_file = KeyFile(settings.keys_file)
        self._is_loopback = settings.is_loopback
        if not self._key_file.exists and not self._is_loopback:
            raise SettingsError(
                f"HOST={settings.host} can be reached from other machines and there are no API "
                "keys: run `make key` first, or listen on 127.0.0.1"
            )

    def register(self, app: Flask) -> None:
        """Find the caller before each request."""
        app.extensions[EXTENSION] = self

        @app.before_request
        def set_caller() -> None:
            _set_caller(self, request.headers.get("Authorization", ""))

    @property
    def allows_anonymous(self) -> bool:
        """Whether requests need no key."""
        return self._is_loopback and not self._key_file.exists

    def accepts_host(self, host: str) -> bool:
        """Whether a `Host` header may be answered: without keys only this machine's names are.

        Otherwise a page of another site could reach the service by a name of its own that leads
        to this machine (DNS rebinding).
        """
        return not self.allows_anonymous or is_loopback(host)

    def caller(self, authorization: str) -> Caller | None:
        """The caller behind an `Authorization` header; None if there is no valid key."""
        if self.allows_anonymous:
            return LOCAL_CALLER
        scheme, _, key = authorization.partition(" ")
        return self._key_file.caller(key.strip()) if scheme.casefold() == "bearer" else None


def is_loopback(host: str) -> bool:
    """Whether a `Host` header names this machine.

    >>> is_loopback("localhost:8000"), is_loopback("[::1]:8000"), is_loopback("127.0.0.1.nip.io")
    (True, True, False)
    """
    return _is_loopback_cached(host) if len(host) <= CACHED_HOST_MAX_CHARS else _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


_is_loopback_cached = lru_cache(maxsize=256)(_is_loopback)


def accept_basic_auth() -> None:
    """Accept the key as the password of HTTP Basic (RFC 7617); for pages only.

    A browser adds a password by itself, to forms of other sites too: it must not authorise any
    request that changes something.
    """
    given = request.authorization
    if g.caller is None and given is not None and given.type == "basic":
        _set_caller(_authenticator(), f"Bearer {given.password}")


def _set_caller(authenticator: Authenticator, authorization: str) -> None:
    """Set the caller of the current request by its key."""
    g.authorization = authorization
    g.caller = authenticator.caller(authorization)


def _authenticator() -> Authenticator:
    found: Authenticator = current_app.extensions[EXTENSION]
    return found


def require_scope(*scopes: Scope) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A view decorator that requires a key with one of `scopes`."""

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            _check(g.caller, scopes)
            return view(*args, **kwargs)

        checked.required_scopes = scopes  # type: ignore[attr-defined] # read by `ApiBlueprint.problems`
        return checked

    return decorate


def is_admin() -> bool:
    """Whether the caller of the current request may see what others did."""
    return g.caller is not None and Scope.ADMIN in g.caller.scopes


def scope_rechecker(*scopes: Scope) -> Callable[[], None]:
    """Return a function that checks the key of the current request again.

    A key can be revoked while a long response is sent. The function raises as `require_scope`.
    """
    authenticator, authorization = _authenticator(), g.authorization
    return lambda: _check(authenticator.caller(authorization), scopes)


def _check(caller: Caller | None, scopes: Sequence[Scope]) -> None:
    """Check that a caller's key has one of `scopes`.

    Raises:
        NotAuthenticated: there is no valid key.
        NotPermitted: it has none of them.
    """
    if caller is None:
        raise NotAuthenticated
    if caller.scopes.isdisjoint(scopes):
        raise NotPermitted(scope=str(scopes[0]))
