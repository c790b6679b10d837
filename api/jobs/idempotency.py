"""Idempotency keys: the first request with a key decides which id it stands for."""

import json
from typing import NamedTuple

from shared.domain.errors import IdempotencyConflict
from shared.domain.ids import CallerId
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

IDEMPOTENCY_TTL_S = 86_400


class KeyClaim(NamedTuple):
    """What a key stands for."""

    id: str
    is_new: bool


class RedisIdempotency:
    """Remembers for a day which job or batch an Idempotency-Key made.

    Args:
        client: connection to the broker instance.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def claim(
        self, caller: CallerId, route: str, key: str, fingerprint: str, new_id: str
    ) -> KeyClaim:
        """The id that this key stands for: `new_id`, or the one that came first.

        Args:
            caller: whose key it is.
            route: what the key is for.
            key: what the caller sent.
            fingerprint: digest of the body; the same key with another one is refused.
            new_id: the id to use if the key is new.

        Raises:
            IdempotencyConflict: the key came before with another body.
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
        first_fingerprint, first_id = json.loads(stored)
        if first_fingerprint != fingerprint:
            raise IdempotencyConflict(key=key)
        return KeyClaim(first_id, is_new=False)

    def find(self, caller: CallerId, route: str, key: str) -> str | None:
        """The id that this key stands for; None if it never came, or too long ago."""
        with broker_errors():
            stored = self._client.get(_name(caller, route, key))
        return None if stored is None else str(json.loads(stored)[1])

    def rebind(self, caller: CallerId, route: str, key: str, fingerprint: str, new_id: str) -> None:
        """Let the key stand for `new_id`: what it stood for never came to be.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            self._client.set(
                _name(caller, route, key), json.dumps([fingerprint, new_id]), ex=IDEMPOTENCY_TTL_S
            )


def _name(caller: CallerId, route: str, key: str) -> str:
    return keys.idempotency(caller, f"{route}:{key}")
