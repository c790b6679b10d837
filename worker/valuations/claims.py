"""Who records a message's answers: one worker, once, whatever is delivered twice or dies."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum

import redis

from shared.domain.clock import Clock
from shared.redis import keys
from shared.redis.connections import (
    Command,
    ConnectionCache,
    PipelinedCommands,
    RedisClient,
    broker_errors,
)
from shared.redis.jobs import MAX_LEASE_S

DONE_TTL_S = 2 * MAX_LEASE_S
"""How long a message whose records are in the log is remembered: whoever sends it again does so
when a lease has run out."""

UNFINISHED_TTL_S = 86_400
"""How long one is remembered whose worker died before that: there are few, and all workers may be
away for long."""

CLAIM_TIMEOUT_S = 30
"""Valuing a message takes milliseconds: after this time, whoever claimed it has died."""

# Hash of a claim: `first` and `latest`, when it was claimed, and `done`.
# KEYS: claim.  ARGV: now, seconds after which a claim is in doubt, time to live, claim it (1) or
# look only (0).  Returns the state, the time of the first claim and that of the latest one.
_CLAIM_SCRIPT = """
local first = redis.call('HGET', KEYS[1], 'first')
local latest = redis.call('HGET', KEYS[1], 'latest')
local state = 'fresh'
if first then
  local age = tonumber(ARGV[1]) - tonumber(latest)
  if redis.call('HEXISTS', KEYS[1], 'done') == 1 then state = 'done'
  elseif age >= 0 and age < tonumber(ARGV[2]) then state = 'busy'
  else state = 'doubtful' end
end
if ARGV[4] == '1' and (state == 'fresh' or state == 'doubtful') then
  redis.call('HSETNX', KEYS[1], 'first', ARGV[1])
  redis.call('HSET', KEYS[1], 'latest', ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return {state, first or ARGV[1], latest or ARGV[1]}
"""


class ClaimState(StrEnum):
    """What is known of the records of a message."""

    FRESH = "fresh"
    """Nobody has begun."""
    BUSY = "busy"
    """Somebody is at it now."""
    DONE = "done"
    """They are in the log."""
    DOUBTFUL = "doubtful"
    """Somebody began and died: they may be in the log."""


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """The state in which a message was found, and when it had been claimed (Unix times).

    Attributes:
        message_id: the message.
        state: how it was found.
        first_at: when it was claimed first; now if it never was.
        latest_at: when it was claimed last before this look.
    """

    message_id: str
    state: ClaimState
    first_at: float
    latest_at: float

    @property
    def stale_at(self) -> float:
        """When a claim that is busy now will be taken for one whose worker has died."""
        return self.latest_at + CLAIM_TIMEOUT_S


class RedisClaims:
    """Claims on messages, in the broker's Redis.

    Args:
        client: connection to the broker instance.
        clock: the time of day.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._claim_script = client.register_script(_CLAIM_SCRIPT)

    def begin(self, message_id: str) -> Claim:
        """Claim a message; found FRESH or DOUBTFUL, its records are the caller's to write."""
        return self._found(message_id, claim=True)

    @contextmanager
    def begin_concurrently(self, message_id: str, now: float) -> Iterator[Callable[[], Claim]]:
        """Claim a message and work on it meanwhile: entering sends, the function reads.

        Nothing that cannot be taken back may happen before the claim is read.
        """
        with ExitStack() as stack:
            with broker_errors():
                asked = stack.enter_context(
                    PipelinedCommands(self._connections, self._claim_command(message_id, now))
                )
            yield lambda: self._read(message_id, asked)

    def peek(self, message_id: str) -> Claim:
        """Look at a message without claiming it."""
        return self._found(message_id, claim=False)

    def done(self, message_id: str) -> None:
        """Note that the records are in the log."""
        with (
            broker_errors(),
            PipelinedCommands(self._connections, *done_commands(message_id)) as sent,
        ):
            sent.responses()

    def _claim_command(self, message_id: str, now: float) -> Command:
        key = keys.audit_claim(message_id)
        return (
            "EVALSHA",
            self._claim_script.sha,
            1,
            key,
            now,
            CLAIM_TIMEOUT_S,
            UNFINISHED_TTL_S,
            1,
        )

    def _read(self, message_id: str, asked: PipelinedCommands) -> Claim:
        try:
            with broker_errors():
                (found,) = asked.responses()
        except redis.exceptions.NoScriptError:  # the broker is new: it is told the script
            return self.begin(message_id)
        return _to_claim(message_id, found)

    def _found(self, message_id: str, *, claim: bool) -> Claim:
        with broker_errors():
            found = self._claim_script(
                keys=[keys.audit_claim(message_id)],
                args=[self._clock(), CLAIM_TIMEOUT_S, UNFINISHED_TTL_S, int(claim)],
            )
        return _to_claim(message_id, found)


def done_commands(message_id: str) -> list[Command]:
    """What notes that the records of a message are in the log."""
    key = keys.audit_claim(message_id)
    return [("HSET", key, "done", 1), ("EXPIRE", key, DONE_TTL_S)]


def _to_claim(message_id: str, found: list[bytes]) -> Claim:
    state, first_at, latest_at = found
    return Claim(message_id, ClaimState(state.decode()), float(first_at), float(latest_at))
