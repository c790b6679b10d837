"""Who may call: API keys with scopes, kept as hashes; open on loopback while there are none."""

import dataclasses
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from flask import Flask, current_app, g, request

from shared.domain.errors import NotAuthenticated, NotPermitted
from shared.settings import Settings, SettingsError

P = ParamSpec("P")
R = TypeVar("R")
KEY_BYTES = 32
EXTENSION = "carprice-authenticator"


class Scope(StrEnum):
    """What a key allows."""

    PREDICT = "predict"
    BULK = "bulk"
    ADMIN = "admin"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whoever makes the current call."""

    id: str
    scopes: frozenset[Scope]


LOCAL_CALLER = Caller(id="local", scopes=frozenset(Scope))
"""Everybody, on a loopback address without keys."""


def new_key(caller_id: str, scopes: frozenset[Scope]) -> tuple[str, dict[str, Any]]:
    """A new key, shown once, and the entry to store: it holds the key's hash only."""
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
        return {
            entry["hash"]: Caller(
                id=entry["caller"], scopes=frozenset(Scope(scope) for scope in entry["scopes"])
            )
            for entry in entries
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: not a file of API keys ({error}); see `make key`") from error


class Authenticator:
    """Finds the caller of a request.

    Args:
        settings: names the file of keys and the address the service listens on.

    Raises:
        SettingsError: the address can be reached from other machines, and there are no keys.
    """

    def __init__(self, settings: Settings) -> None:
        self._keys = load_keys(settings.keys_file)
        if not self._keys and not settings.is_loopback:
            raise SettingsError(
                f"HOST={settings.host} can be reached from other machines and there are no API "
                "keys: run `make key` first, or listen on 127.0.0.1"
            )

    def register(self, app: Flask) -> None:
        """Find the caller before each request."""
        app.extensions[EXTENSION] = self

        @app.before_request
        def set_caller() -> None:
            g.caller = self.caller(request.headers.get("Authorization", ""))

    def caller(self, authorization: str) -> Caller | None:
        """The caller behind an `Authorization` header; None if there is no valid key."""
        if not self._keys:
            return LOCAL_CALLER
        scheme, _, key = authorization.partition(" ")
        if scheme.casefold() != "bearer":
            return None
        digest = hash_key(key.strip())
        for known, caller in self._keys.items():
            if hmac.compare_digest(known, digest):
                return caller
        return None


def accept_password() -> None:
    """Take the key from the password that a browser asks its user for (RFC 7617); for pages only.

    A browser sends a password by itself, with the forms of other sites too: it must not open
    any call that changes something.
    """
    given = request.authorization
    if g.caller is None and given is not None and given.type == "basic":
        authenticator: Authenticator = current_app.extensions[EXTENSION]
        g.caller = authenticator.caller(f"Bearer {given.password}")


def needs(scope: Scope) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A view decorator: only callers whose key has `scope` pass."""

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            caller: Caller | None = g.caller
            if caller is None:
                raise NotAuthenticated
            if scope not in caller.scopes:
                raise NotPermitted(scope=str(scope))
            return view(*args, **kwargs)

        return checked

    return decorate
