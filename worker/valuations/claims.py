"""Claims on messages: one worker writes the audit records of each, even if delivered twice."""

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
from shared.redis.job_scripts import ALLOW_OOM
from shared.redis.jobs import MAX_LEASE_S

DONE_TTL_S = 2 * MAX_LEASE_S
"""Time to live of a claim whose records are written: longer than any lease, after which its message
is sent again."""

UNFINISHED_TTL_S = 86_400
"""Time to live of a claim without written records: all workers may be down for hours."""

CLAIM_TIMEOUT_S = 30
"""To value a message takes milliseconds: after this time its worker has died."""

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
    """State of the audit records of a message."""

    FRESH = "fresh"
    """No worker has started."""
    BUSY = "busy"
    """A worker is writing them."""
    DONE = "done"
    """They are in the log."""
    DOUBTFUL = "doubtful"
    """A worker started and died: they may be in the log."""


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """The state of a message when it was claimed, and the times of its claims (Unix time).

    Attributes:
        message_id: the message.
        state: before this claim.
        first_at: time of the first claim; now if there was none.
        latest_at: time of the latest claim before this one.
    """

    message_id: str
    state: ClaimState
    first_at: float
    latest_at: float

    @property
    def stale_at(self) -> float:
        """When a busy claim will count as that of a dead worker."""
        return self.latest_at + CLAIM_TIMEOUT_S


class RedisClaims:
    """Claims on messages, in the broker's Redis: one worker writes the audit records of each."""

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._claim_script = client.register_script(ALLOW_OOM + _CLAIM_SCRIPT)

    def begin(self, message_id: str) -> Claim:
        """Claim a message; if it was FRESH or DOUBTFUL, the caller has to write its records."""
        return self._found(message_id, claim=True)

    @contextmanager
    def begin_concurrently(self, message_id: str, now: float) -> Iterator[Callable[[], Claim]]:
        """Send a claim on entry; the returned function reads the response.

        Work that can be discarded may run in between.
        """
        with ExitStack() as stack:
            with broker_errors():
                asked = stack.enter_context(
                    PipelinedCommands(self._connections, self._claim_command(message_id, now))
                )
            yield lambda: self._read(message_id, asked)

    def peek(self, message_id: str) -> Claim:
        """Read the state of a message without claiming it."""
        return self._found(message_id, claim=False)

    def mark_done(self, message_id: str) -> None:
        """Note that the records are in the log."""
        with (
            broker_errors(),
            PipelinedCommands(self._connections, *done_commands(message_id)) as sent,
        ):
            sent.responses()

    def _claim_command(self, message_id: str, now: float) -> Command:
        arguments = (keys.audit_claim(message_id), now, CLAIM_TIMEOUT_S, UNFINISHED_TTL_S, 1)
        return ("EVALSHA", self._claim_script.sha, 1, *arguments)

    def _read(self, message_id: str, asked: PipelinedCommands) -> Claim:
        try:
            with broker_errors():
                (found,) = asked.responses()
        except redis.exceptions.NoScriptError:  # the broker has restarted: send the script
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
    """Commands that note that the records of a message are in the log."""
    key = keys.audit_claim(message_id)
    return [("HSET", key, "done", 1), ("EXPIRE", key, DONE_TTL_S)]


def _to_claim(message_id: str, found: list[bytes]) -> Claim:
    state, first_at, latest_at = found
    return Claim(message_id, ClaimState(state.decode()), float(first_at), float(latest_at))
