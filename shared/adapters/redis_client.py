"""Connections to Redis with the timeouts that this service promises."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.domain.errors import BrokerUnavailable

RedisClient: TypeAlias = Any
"""A `redis.Redis`. Its annotations cannot say that our clients always answer bytes, at once."""

CONNECT_TIMEOUT_S = 1.0
REPLY_TIMEOUT_S = 1.5
"""How long a command may take, so that a silent broker is reported within two seconds."""

CACHE_TIMEOUT_S = 0.25
"""A cache that takes longer than the forest is no help."""

REDIS_ERRORS = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError)


def connect(
    url: str, *, reply_timeout_s: float = REPLY_TIMEOUT_S, max_connections: int = 256
) -> RedisClient:
    """A client with a connection pool of its own; nothing is sent yet.

    It never repeats a command by itself: the client library's ten silent repeats would count
    an INCR whose reply was lost several times.
    """
    options = {} if url.startswith("unix://") else {"socket_keepalive": True}
    return redis.Redis.from_url(
        url,
        **options,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=reply_timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=25,
        max_connections=max_connections,
    )


@contextmanager
def broker_errors() -> Iterator[None]:
    """Turn a dead, frozen, full or read-only Redis into `BrokerUnavailable`."""
    try:
        yield
    except REDIS_ERRORS as error:
        raise BrokerUnavailable(reason=str(error)) from error
    except redis.OutOfMemoryError as error:
        raise BrokerUnavailable(reason="the broker is out of memory") from error
    except redis.ReadOnlyError as error:
        raise BrokerUnavailable(reason="the broker may only be read") from error
    except redis.ResponseError as error:
        if "OOM" in str(error) or "MISCONF" in str(error):
            raise BrokerUnavailable(reason=str(error)) from error
        raise
