"""Webhooks that this release cannot read: they are kept for a newer one, and shown."""

import hashlib
from collections.abc import Sequence

import msgpack

from shared.domain.clock import Clock
from shared.domain.errors import UnreadableRecord
from shared.logging import get_logger
from shared.metrics import WEBHOOKS
from shared.redis import keys
from shared.redis.connections import ALLOW_OOM, RedisClient, broker_errors
from shared.redis.webhooks.records import RecordedEnd
from shared.redis.webhooks.scripts import DROP_OLDEST
from shared.webhooks.addresses import CallbackRefusedError, parse_address

KEPT_MAX, KEPT_TTL_S = 10_000, 7 * 86_400
"""How many ends are set aside, and how many webhooks that were given up are kept; for how long."""

log = get_logger("webhooks")

# ARGV: entry of the list of ends, now, oldest time that is kept, how many are kept.
# Returns how many others were dropped.
SET_ASIDE = (
    ALLOW_OOM
    + f"""
local ASIDE = '{keys.WEBHOOKS_SET_ASIDE}'
if redis.call('LREM', '{keys.ENDED_WITH_CALLBACK}', 1, ARGV[1]) == 0 then return 0 end
redis.call('ZADD', ASIDE, ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', ASIDE, '-inf', ARGV[3])
return redis.call('ZREMRANGEBYRANK', ASIDE, 0, -ARGV[4] - 1)
"""
)

# ARGV: oldest time that is kept, then entries.
PUT_BACK = (
    ALLOW_OOM
    + f"""
local ASIDE = '{keys.WEBHOOKS_SET_ASIDE}'
redis.call('ZREMRANGEBYSCORE', ASIDE, '-inf', ARGV[1])
local count = 0
for i = 2, #ARGV do
  if redis.call('ZREM', ASIDE, ARGV[i]) == 1 then
    redis.call('RPUSH', '{keys.ENDED_WITH_CALLBACK}', ARGV[i])
    count = count + 1
  end
end
return count
"""
)

# ARGV: now, oldest time that is kept, seconds for which the records are kept, how many are kept,
# then ids of pending webhooks whose time is over.  Their receivers and callers are not known; a
# newer release gives their places back when it claims them.  Returns how many were dropped.
LIST_AS_GIVEN_UP = (
    ALLOW_OOM
    + DROP_OLDEST
    + f"""
for i = 5, #ARGV do
  redis.call('ZREM', '{keys.WEBHOOK_DEADLINES}', ARGV[i])
  if redis.call('EXPIRE', '{keys.webhook("")}' .. ARGV[i], ARGV[3]) == 1 then
    redis.call('ZADD', '{keys.WEBHOOKS_FAILED}', ARGV[1], ARGV[i])
  end
end
return drop_oldest('', ARGV[2], tonumber(ARGV[4]))
"""
)


class WebhooksSetAside:
    """Keeps what this release cannot read.

    While the broker is down, every method raises `BrokerUnavailable`.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._set_aside = client.register_script(SET_ASIDE)
        self._put_back = client.register_script(PUT_BACK)
        self._list_as_given_up = client.register_script(LIST_AS_GIVEN_UP)

    def keep(self, entry: bytes) -> None:
        """Take an end off the list of ends and keep it."""
        now = self._clock()
        with broker_errors():
            dropped = self._set_aside(args=[entry, now, now - KEPT_TTL_S, KEPT_MAX])
        note_dropped(dropped)

    def put_back(self) -> int:
        """Put the ends that this release can read back on the list; how many.

        The others stay until their time is over.
        """
        with broker_errors():
            entries = self._client.zrange(keys.WEBHOOKS_SET_ASIDE, 0, -1)
        if not entries:
            return 0
        readable = [entry for entry in entries if _is_readable(entry)]
        with broker_errors():
            return int(self._put_back(args=[self._clock() - KEPT_TTL_S, *readable]))

    def give_up(self, webhook_ids: Sequence[str]) -> None:
        """List pending webhooks that cannot be read as given up, with their records."""
        now = self._clock()
        limits = [now - KEPT_TTL_S, KEPT_TTL_S, KEPT_MAX]
        with broker_errors():
            dropped = self._list_as_given_up(args=[now, *limits, *webhook_ids])
        note_dropped(dropped)

    def ids(self, limit: int) -> list[str]:
        """Ids of the jobs and batches of the ends; a digest where even that cannot be read."""
        with broker_errors():
            entries = self._client.zrange(keys.WEBHOOKS_SET_ASIDE, 0, limit - 1)
        return [_id_of(entry) for entry in entries]


def note_dropped(count: int) -> None:
    """Count and log webhooks that were dropped because more were kept than there is space for."""
    if count:
        WEBHOOKS.labels(result="dropped").inc(count)
        log.warning("webhooks_dropped", count=count, kept=KEPT_MAX)


def _is_readable(entry: bytes) -> bool:
    try:
        parse_address(RecordedEnd.from_entry(entry).callback.url)
    except (UnreadableRecord, CallbackRefusedError):
        return False
    return True


def _id_of(entry: bytes) -> str:
    try:
        return str(msgpack.unpackb(entry, raw=True, strict_map_key=False)[b"id"].decode())
    except (ValueError, KeyError, TypeError, AttributeError):
        return hashlib.blake2b(entry, digest_size=8).hexdigest()
