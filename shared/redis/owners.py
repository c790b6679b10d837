"""Owners: the processes that hold messages or carry out work, and whether they are alive.

An owner is one worker process. It writes a heartbeat twice a second and keeps a subscription to a
channel of its own, which the broker ends when the process dies. So a killed process is noticed
within two seconds and a suspended one within six, on any host, and a heartbeat that is late because
a processor is busy is not mistaken for a death.

The messages that an owner has taken from a queue are kept in the broker under its name. When it
dies, the first process that notices puts them back.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import redis

from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import new_id
from shared.host import is_running
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors, has_unread_data
from shared.redis.primaries import Primary

BEAT_INTERVAL_S = 0.5
"""Time between two heartbeats of an owner."""

DISCONNECTED_AFTER_S = 1.5
"""An owner without subscription is dead this long after its last heartbeat. A live one whose
connection broke subscribes again at its next heartbeat."""

SILENT_AFTER_S = 6.0
"""An owner without heartbeat for this time is dead or suspended, although it is subscribed."""


class Liveness(StrEnum):
    """What the broker knows of an owner."""

    ALIVE = "alive"
    """It is subscribed, and its last heartbeat is recent."""
    DEAD = "dead"
    UNSURE = "unsure"
    """It is not subscribed, and its last heartbeat is recent."""


# The functions that the scripts share. `liveness` is 'alive', 'dead' or 'unsure': no subscription,
# but a recent heartbeat. All times are those of the broker, so the clocks of hosts may differ.
LIVENESS = f"""
local owners = '{keys.OWNERS}'
local parts = redis.call('TIME')
local now = tonumber(parts[1]) + tonumber(parts[2]) / 1000000
local function liveness(owner)
  local at = redis.call('ZSCORE', owners, owner)
  if not at then return 'dead' end
  local age = math.abs(now - tonumber(at))
  if age > {SILENT_AFTER_S} then return 'dead' end
  if redis.call('PUBSUB', 'NUMSUB', '{keys.owner_channel("")}' .. owner)[2] > 0 then
    return 'alive'
  end
  if age > {DISCONNECTED_AFTER_S} then return 'dead' end
  return 'unsure'
end
"""

# `working` is the hash of what each owner carries out; see `Owner.work`.
WORKING = f"local working = '{keys.OWNER_WORK}'"

# Puts the messages of an owner back to the head of their queues. Of the list `popped` only the last
# one can be unfinished. A value of `unacked` is kombu's: message, exchange and queue as JSON.
_RESTORE = (
    LIVENESS
    + WORKING
    + f"""
local function restore(owner)
  local restored = 0
  local function put_back(queue, message)
    redis.call('RPUSH', '{keys.queue("")}' .. queue, message)
    restored = restored + 1
  end
  local popped = '{keys.popped("")}' .. owner
  local last = redis.call('LINDEX', popped, 0)
  if last then put_back(cjson.decode(last).properties.delivery_info.routing_key, last) end
  for _, value in ipairs(redis.call('HVALS', '{keys.unacked("")}' .. owner)) do
    local message, queue = string.match(value, '^%[(.*}}), *"[^"]*", *"([^"]*)"%]$')
    if message then put_back(queue, message) end
  end
  redis.call('DEL', popped, '{keys.unacked("")}' .. owner, '{keys.unacked_index("")}' .. owner)
  redis.call('ZREM', owners, owner)
  redis.call('HDEL', working, owner)
  return restored
end
"""
)

# ARGV: owner, messages of its list that it has finished, whether to look for dead owners (1), the
# work that it ended last.
# Returns whether it was known (1), then the dead owners, each followed by its number of messages.
_BEAT = (
    _RESTORE
    + f"""
local known = redis.call('ZADD', owners, now, ARGV[1]) == 0
if known and ARGV[2] ~= '0' then redis.call('RPOP', '{keys.popped("")}' .. ARGV[1], ARGV[2]) end
if redis.call('HGET', working, ARGV[1]) == ARGV[4] then redis.call('HDEL', working, ARGV[1]) end
local found = {{known and 1 or 0}}
if ARGV[3] == '1' then
  for _, owner in ipairs(redis.call('ZRANGE', owners, 0, -1)) do
    if owner ~= ARGV[1] and liveness(owner) == 'dead' then
      found[#found + 1] = owner
      found[#found + 1] = restore(owner)
    end
  end
end
return found
"""
)

# ARGV: an owner to remove.  Returns the number of messages that were put back.
_REMOVE = _RESTORE + "return restore(ARGV[1])"

# ARGV: owners to remove unless they live.  Returns the number of messages that were put back.
_REMOVE_DEAD = (
    _RESTORE
    + """
local restored = 0
for _, owner in ipairs(ARGV) do
  if liveness(owner) ~= 'alive' then restored = restored + restore(owner) end
end
return restored
"""
)

# Returns all owners, each followed by its liveness.
_STATES = (
    LIVENESS
    + """
local found = {}
for _, owner in ipairs(redis.call('ZRANGE', owners, 0, -1)) do
  found[#found + 1] = owner
  found[#found + 1] = liveness(owner)
end
return found
"""
)


def states_of_owners(client: RedisClient) -> Mapping[str, Liveness]:
    """The owners that the broker knows, by name."""
    found = client.register_script(_STATES)()
    names, states = ([one.decode() for one in found[part::2]] for part in (0, 1))
    return {name: Liveness(state) for name, state in zip(names, states, strict=True)}


class Owner:
    """This process as an owner.

    Args:
        node: Celery node name of the worker; two hosts with one name may have the same.
        host: identity of the host.
    """

    def __init__(self, node: str, host: str = "") -> None:
        self.place = f"{node}:{host}-"
        """The beginning of the names of the processes of this node on this host."""
        self.name = f"{self.place}{os.getpid()}-{new_id()[-8:]}"
        """Unlike that of any other process."""
        self.work = ""
        """The claim that it carries out or carried out last: message and time."""
        self.ended_work = ""
        """The last one that it ended."""


class OwnerRegistry:
    """Keeps one process alive as an owner, and restores the messages of dead ones.

    Not for use by several threads.

    Args:
        client: connection to the broker instance.
        owner: this process.
    """

    def __init__(self, client: RedisClient, owner: Owner) -> None:
        self.owner = owner
        self._client = client
        self._connection: Any = None
        self._subscription: Any = None
        self._primary: Primary = client.connection_pool.connection_kwargs.get("primary", Primary())
        self._changes = 0
        self._beat = client.register_script(_BEAT)
        self._remove = client.register_script(_REMOVE)
        self._remove_dead = client.register_script(_REMOVE_DEAD)
        self._restores_from = 0.0
        """Others are not judged before: after an outage of the broker no heartbeat is recent, and
        a new primary may lack those that its predecessor still took."""

    def beat(self, finished: int = 0, *, restores: bool = True) -> tuple[bool, dict[str, int]]:
        """Write a heartbeat, and restore the messages of dead owners.

        Args:
            finished: how many further messages of the list of this process are finished.
            restores: whether to look for dead owners.

        Returns:
            Whether this process counted as alive until now; then the number of restored messages
            of each owner that was found dead.

        Raises:
            BrokerUnavailable: the broker does not answer; the heartbeat is missing.
        """
        try:
            with broker_errors():
                self._keep_subscribed()
                may_judge = restores and time.monotonic() >= self._restores_from
                known, *found = self._beat(
                    args=[self.owner.name, finished, int(may_judge), self.owner.ended_work]
                )
        except BrokerUnavailable:
            self._restores_from = time.monotonic() + SILENT_AFTER_S
            raise
        dead = dict(zip((owner.decode() for owner in found[::2]), found[1::2], strict=True))
        return bool(known), dead

    def remove_predecessors(self, lives: Callable[[int], bool] = is_running) -> int:
        """Restore the messages that dead processes of this node held, and return how many.

        Only those of this host, whose kernel knows that they ended: others may have the same node
        name, and after an outage of the broker nobody is subscribed. The heartbeats of others
        judge the rest.

        Args:
            lives: whether a process of this host has the number.
        """
        with broker_errors():
            names = [name.decode() for name in self._client.zrange(keys.OWNERS, 0, -1)]
            place, own = self.owner.place, self.owner.name
            earlier = [
                name
                for name in names
                if name.startswith(place)
                and name != own
                and not lives(int(name.removeprefix(place).partition("-")[0]))
            ]
            return int(self._remove_dead(args=earlier)) if earlier else 0

    def leave(self) -> None:
        """End this owner: what it still holds goes back to the queues."""
        with broker_errors():
            self._remove(args=[self.owner.name])
        self._unsubscribe()

    def _keep_subscribed(self) -> None:
        """Subscribe to the channel of this process, again if the connection broke."""
        if self._subscription is not None:
            is_current = self._changes == self._primary.changes
            if is_current and not has_unread_data(self._subscription):
                return
            self._unsubscribe()
        self._restores_from = max(self._restores_from, time.monotonic() + 2 * DISCONNECTED_AFTER_S)
        if self._connection is None:  # each one that is made takes a place of the pool for good
            self._connection = self._client.connection_pool.make_connection()
        connection = self._connection
        connection.disconnect()
        connection.connect()
        self._changes = self._primary.changes  # after the sentinels have named another server
        connection.send_command("SUBSCRIBE", keys.owner_channel(self.owner.name))
        connection.read_response(push_request=True)
        self._subscription = connection

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                self._subscription.disconnect()
            self._subscription = None
