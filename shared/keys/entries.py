"""Entries of API keys: whose a key is, what it allows, how long and how much."""

import dataclasses
import datetime as dt
import hashlib
import math
import re
import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

MIN_REQUESTS_PER_S = 1e-5
"""About one request a day."""
MAX_LIMITS = {"requests_per_s": 1e6, "burst": 10**6, "weight": 1000}
MAX_LIMIT = 10**15 - 1
"""Largest value of the other limits: of an integer in a structured header (RFC 9651)."""
KEY_BYTES = 32
ID_LENGTH = 12
_CALLER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")


class Scope(StrEnum):
    """What a key allows."""

    ESTIMATE = "estimate"
    PREDICT = "predict"
    BULK = "bulk"
    ADMIN = "admin"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class KeyLimits:
    """How much a key may do; None: no limit.

    Requests and cars are counted by key. Jobs, batches and bytes are those of the caller, and the
    limit is that of the key that asks for more.
    """

    requests_per_s: float | None = None
    burst: int | None = None
    """Requests that may come at once; by default those of one second."""
    cars_per_day: int | None = None
    open_jobs: int | None = None
    """Jobs that have not ended."""
    open_batches: int | None = None
    stored_bytes: int | None = None
    """Bytes of jobs, their results, and uploaded files that are kept."""
    weight: int = 1
    """Share of the workers while several callers have work: 2 is twice as much as 1."""

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Read the limits of an entry.

        Raises:
            ValueError: an unknown name, no positive number, or one that cannot be counted with.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name, value in members.items():
            if name not in fields:
                raise ValueError(f"{name!r} is no limit; expected one of {', '.join(fields)}")
            allowed = (int, float) if name == "requests_per_s" else (int,)
            is_number = isinstance(value, allowed) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value) or value <= 0:
                raise ValueError(f"{name}={value!r}: expected a positive number")
            lowest = MIN_REQUESTS_PER_S if name == "requests_per_s" else 1
            highest = MAX_LIMITS.get(name, MAX_LIMIT)
            if not lowest <= value <= highest:
                raise ValueError(f"{name}={value!r}: expected {lowest:g} to {highest:,}")
        return cls(**members)

    def to_json(self) -> dict[str, Any]:
        """The limits that are set."""
        default = KeyLimits()
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != getattr(default, field.name)
        }

    @property
    def capacity(self) -> int:
        """Requests that may come at once."""
        return self.burst or max(1, math.ceil(self.requests_per_s or 1))

    @property
    def has_rate(self) -> bool:
        """Whether requests or cars are counted."""
        return self.requests_per_s is not None or self.cars_per_day is not None

    @property
    def has_job_limit(self) -> bool:
        """Whether something can refuse a job."""
        limits = (self.cars_per_day, self.open_jobs, self.stored_bytes)
        return any(limit is not None for limit in limits)


UNLIMITED = KeyLimits()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class KeyEntry:
    """What is stored of a key; the key itself is not."""

    caller: str
    """Who uses the key; a caller may have several keys."""
    hash: str
    """SHA-256 of the key, hexadecimal."""
    scopes: frozenset[Scope]
    created_at: dt.datetime | None = None
    """None for keys of releases that did not store it."""
    expires_at: dt.datetime | None = None
    limits: KeyLimits = UNLIMITED

    @property
    def id(self) -> str:
        """Public name of the key: the first characters of its hash."""
        return self.hash[:ID_LENGTH]

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Read an entry; members that later releases may add are ignored.

        Raises:
            ValueError, KeyError, TypeError: it is not the entry of a key.
        """
        if not _HASH.fullmatch(members["hash"]):
            raise ValueError(f"{members['hash']!r} is not a SHA-256 in hexadecimal")
        return cls(
            caller=validate_caller(members["caller"]),
            hash=members["hash"],
            scopes=frozenset(Scope(scope) for scope in members["scopes"]),
            created_at=_read_time(members.get("created_at")),
            expires_at=_read_time(members.get("expires_at")),
            limits=KeyLimits.from_json(members.get("limits", {})),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready members; releases without expiry and limits read the first three."""
        members: dict[str, Any] = {
            "caller": self.caller,
            "hash": self.hash,
            "scopes": sorted(self.scopes),
            "id": self.id,
        }
        for name in ("created_at", "expires_at"):
            if (at := getattr(self, name)) is not None:
                members[name] = at.isoformat(timespec="seconds")
        if limits := self.limits.to_json():
            members["limits"] = limits
        return members


def _read_time(text: str | None) -> dt.datetime | None:
    """A time with its zone.

    Raises:
        ValueError: no time, or without a zone.
    """
    if text is None:
        return None
    at = dt.datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r}: a time needs a zone, like {text}+00:00")
    return at


def new_key(
    caller: str,
    scopes: frozenset[Scope],
    *,
    created_at: dt.datetime | None = None,
    expires_at: dt.datetime | None = None,
    limits: KeyLimits = UNLIMITED,
) -> tuple[str, KeyEntry]:
    """Make a key, to be shown once, and the entry to store, which holds the key's hash only."""
    key = f"cp_{secrets.token_urlsafe(KEY_BYTES)}"
    entry = KeyEntry(
        caller=caller,
        hash=hash_key(key),
        scopes=scopes,
        created_at=created_at,
        expires_at=expires_at,
        limits=limits,
    )
    return key, entry


def hash_key(key: str) -> str:
    """SHA-256 of a key. A key has 256 random bits: a slow hash would protect nothing more."""
    return hashlib.sha256(key.encode()).hexdigest()


def validate_caller(name: str) -> str:
    """Return `name` if it is a valid name of a caller.

    Names are parts of Redis keys, so they must not contain separators.

    Raises:
        ValueError: another character or length.
    """
    if not _CALLER.fullmatch(name):
        raise ValueError(f"caller {name!r}: expected 1 to 64 of the signs A-Z a-z 0-9 . _ -")
    return name
