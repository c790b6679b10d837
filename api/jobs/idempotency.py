"""Idempotency keys: the first request with a key fixes the id that later requests get."""

import json
from contextlib import suppress
from typing import NamedTuple

from shared.domain.errors import BrokerUnavailable, IdempotencyConflict
from shared.domain.ids import CallerId
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.job_store.creation import KeyEntry

IDEMPOTENCY_TTL_S = 86_400
REFUSED_TTL_S = 10
"""How long the key of a refused request is kept: refused requests must not fill the broker."""


# KEYS: entry.  ARGV: the entry to replace, the new one, its time to live.  Returns the entry now.
_REPLACE = """
local stored = redis.call('GET', KEYS[1])
if stored and stored ~= ARGV[1] then return stored end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return ARGV[2]
"""


# KEYS: entry, what has the id.  ARGV: the entry, its time to live.
_SHORTEN = """
if redis.call('EXISTS', KEYS[2]) == 0 and redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
"""


class KeyClaim(NamedTuple):
    """The id that a key is mapped to."""

    id: str
    is_new: bool


class RedisIdempotency:
    """Maps each `Idempotency-Key` to its job or batch for `IDEMPOTENCY_TTL_S`.

    Args:
        client: connection to the broker instance.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._replace = client.register_script(_REPLACE)
        self._shorten = client.register_script(_SHORTEN)

    def claim(
        self, caller: CallerId, route: str, key: str, fingerprint: str, new_id: str
    ) -> KeyClaim:
        """Map a key to `new_id`, unless it is mapped already; returns its id.

        Args:
            caller: owner of the key.
            route: `jobs` or `batches`; their keys are separate.
            key: value of the header.
            fingerprint: digest of the body.
            new_id: the id to use if the key is new.

        Raises:
            IdempotencyConflict: the key was used before with another fingerprint.
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            stored = self._client.set(
                _name(caller, route, key),
                json.dumps([fingerprint, new_id]),
                nx=True,
                get=True,
                ex=IDEMPOTENCY_TTL_S,
            )
        if stored is None:
            return KeyClaim(new_id, is_new=True)
        first_fingerprint, first_id, *_ = json.loads(stored)
        if first_fingerprint != fingerprint:
            raise IdempotencyConflict(key=key)
        return KeyClaim(first_id, is_new=False)

    @staticmethod
    def entry(caller: CallerId, route: str, key: str, fingerprint: str, new_id: str) -> KeyEntry:
        """What `claim` would store for a new key, to be stored with its job."""
        content = json.dumps([fingerprint, new_id])
        return KeyEntry(_name(caller, route, key), content, IDEMPOTENCY_TTL_S)

    def find(self, caller: CallerId, route: str, key: str) -> str | None:
        """The id that a key is mapped to; None if there is none or it has expired."""
        with broker_errors():
            stored = self._client.get(_name(caller, route, key))
        return None if stored is None else str(json.loads(stored)[1])

    def rebind(self, caller: CallerId, route: str, key: str, fingerprint: str, new_id: str) -> None:
        """Map a key to `new_id`, replacing an id whose request failed.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            self._client.set(
                _name(caller, route, key), json.dumps([fingerprint, new_id]), ex=IDEMPOTENCY_TTL_S
            )

    def shorten(  # noqa: PLR0917 - the parts of one entry
        self, caller: CallerId, route: str, key: str, fingerprint: str, refused_id: str, stored: str
    ) -> None:
        """Keep the key of a refused request for `REFUSED_TTL_S` only.

        Args:
            caller: owner of the key.
            route: as for `claim`.
            key: value of the header.
            fingerprint: digest of the body.
            refused_id: the id that the key is mapped to.
            stored: key in Redis that exists if another request was accepted under this id.
        """
        entry = json.dumps([fingerprint, refused_id])
        with suppress(BrokerUnavailable), broker_errors():
            self._shorten(keys=[_name(caller, route, key), stored], args=[entry, REFUSED_TTL_S])

    def replace(  # noqa: PLR0917 - the parts of one entry
        self, caller: CallerId, route: str, key: str, fingerprint: str, old_id: str, new_id: str
    ) -> str:
        """Map a key from `old_id` to `new_id`, unless another request did; return its id now.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        former, entry = (json.dumps([fingerprint, each]) for each in (old_id, new_id))
        with broker_errors():
            stored = self._replace(
                keys=[_name(caller, route, key)], args=[former, entry, IDEMPOTENCY_TTL_S]
            )
        return str(json.loads(stored)[1])


def _name(caller: CallerId, route: str, key: str) -> str:
    return keys.idempotency(caller, f"{route}:{key}")
