"""Claims on messages: one worker writes the audit records of each, even if delivered twice."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Any

import redis

from shared.domain.clock import Clock
from shared.redis import keys
from shared.redis.connections import (
    ALLOW_OOM,
    Command,
    ConnectionCache,
    PipelinedCommands,
    RedisClient,
    broker_errors,
)
from shared.redis.job_store.store import MAX_LEASE_S
from shared.redis.owners import LIVENESS, WORKING, Owner

DONE_TTL_S = 2 * MAX_LEASE_S
"""Time to live of a claim whose records are written: longer than any lease, after which its message
is sent again."""

UNFINISHED_TTL_S = 86_400
"""Time to live of a claim without written records: all workers may be down for hours."""

CLAIM_TIMEOUT_S = 30
"""A claim without owner, made by a worker of an earlier release, counts as that of a dead worker
after this time. Other claims last as long as their owner lives."""

BUSY_RETRY_S = 2.0
"""When a message is looked at again whose claim another worker holds."""

UNSURE_POLL_S = 0.25
"""Time between two looks at a claim whose owner has just lost its connection."""

VERIFY_AFTER_S = 1.0
"""A claim that is older than this is verified before records are written: its owner may have been
suspended, and another worker may have taken it over."""

# Hash of a claim: `first` and `latest`, when it was claimed, `owner` and `owned_at`, the process
# and the time of its claim, and `done`. An owner counts only if `owned_at` is `latest`: workers of
# earlier releases do not name themselves. It holds the claim while it is alive and `working` names
# the claim as what it carries out.
# KEYS: claim.  ARGV: now, seconds after which a claim without owner is in doubt, time to live,
# claim it (1) or look only (0), owner, message.  Returns the state and the time of the first claim.
_CLAIM_SCRIPT = (
    LIVENESS
    + WORKING
    + """
local first, latest, owner, owned_at, done =
  unpack(redis.call('HMGET', KEYS[1], 'first', 'latest', 'owner', 'owned_at', 'done'))
local state = 'fresh'
if done then state = 'done'
elseif first and owner and owned_at == latest then
  -- A process values one message at a time: its own former attempt is over.
  local life = 'dead'
  if owner ~= ARGV[5] and redis.call('HGET', working, owner) == ARGV[6] .. ' ' .. latest then
    life = liveness(owner)
  end
  state = ({alive = 'busy', dead = 'doubtful', unsure = 'unsure'})[life]
elseif first then
  local age = tonumber(ARGV[1]) - tonumber(latest)
  state = age >= 0 and age < tonumber(ARGV[2]) and 'busy' or 'doubtful'
end
if ARGV[4] == '1' and (state == 'fresh' or state == 'doubtful') then
  redis.call('HSETNX', KEYS[1], 'first', ARGV[1])
  redis.call('HSET', KEYS[1], 'latest', ARGV[1], 'owner', ARGV[5], 'owned_at', ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  redis.call('ZADD', owners, now, ARGV[5])
  redis.call('HSET', working, ARGV[5], ARGV[6] .. ' ' .. ARGV[1])
end
return {state, first or ARGV[1]}
"""
)

# Gives a claim up after a failure. If its records are certainly not in the log (1), it is removed,
# otherwise the next worker searches the log.
# KEYS: claim.  ARGV: owner, whether they are certainly missing.
_RELEASE_SCRIPT = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if ARGV[2] == '1' then return redis.call('DEL', KEYS[1]) end
return redis.call('HSET', KEYS[1], 'owner', '')
"""


class ClaimState(StrEnum):
    """State of the audit records of a message."""

    FRESH = "fresh"
    """No worker has started."""
    BUSY = "busy"
    """A worker that is alive writes them."""
    UNSURE = "unsure"
    """Its worker may have just died; only inside of this module."""
    DONE = "done"
    """They are in the log."""
    DOUBTFUL = "doubtful"
    """A worker started and died: they may be in the log."""


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """The state of a message when it was claimed, and when it was claimed first (Unix time).

    Attributes:
        message_id: the message.
        state: before this claim.
        first_at: time of the first claim; now if there was none.
        made_at: monotonic time of this claim, before it was sent.
    """

    message_id: str
    state: ClaimState
    first_at: float
    made_at: float


class ClaimLost(Exception):
    """Another worker has taken the message over: it writes the records and answers."""


class RedisClaims:
    """Claims on messages, in the broker's Redis: one worker writes the audit records of each.

    A claim is that of a process and lasts while the process lives (`shared.redis.owners`).

    Args:
        client: connection to the broker instance.
        clock: the time of day.
        owner: this process, which carries out one message at a time.
    """

    def __init__(self, client: RedisClient, clock: Clock, owner: Owner) -> None:
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._owner = owner
        self._client = client
        self._claim_script = client.register_script(ALLOW_OOM + _CLAIM_SCRIPT)
        self._release_script = client.register_script(ALLOW_OOM + _RELEASE_SCRIPT)

    def begin(self, message_id: str) -> Claim:
        """Claim a message; if it was FRESH or DOUBTFUL, the caller has to write its records."""
        return self._found(message_id, claim=True)

    @contextmanager
    def begin_concurrently(self, message_id: str, now: float) -> Iterator[Callable[[], Claim]]:
        """Send a claim on entry; the returned function reads the response.

        Work that can be discarded may run in between.
        """
        with ExitStack() as stack:
            made_at = time.monotonic()
            with broker_errors():
                asked = stack.enter_context(
                    PipelinedCommands(self._connections, self._claim_command(message_id, now))
                )
            yield lambda: self._read(message_id, asked, made_at)

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

    def verify(self, claim: Claim) -> None:
        """Check, before records are written, that the claim is still that of this process.

        Raises:
            ClaimLost: another process has taken it over.
        """
        if time.monotonic() - claim.made_at < VERIFY_AFTER_S:
            return
        with broker_errors():
            owner = self._client.hget(keys.audit_claim(claim.message_id), "owner")
        if owner is None or owner.decode() != self._owner.name:
            raise ClaimLost

    def end(self) -> None:
        """Note that this process no longer works on what it claimed last, done or not.

        The next heartbeat tells the others: a message that comes again is then not left to it.
        """
        self._owner.ended_work = self._owner.work

    def release(self, claim: Claim, *, may_be_recorded: bool = False) -> None:
        """Give up a claim after a failure, so that any worker may retry.

        Args:
            claim: of this process.
            may_be_recorded: whether this attempt may have written its records.
        """
        is_unwritten = claim.state is ClaimState.FRESH and not may_be_recorded
        with broker_errors():
            self._release_script(
                keys=[keys.audit_claim(claim.message_id)],
                args=[self._owner.name, int(is_unwritten)],
            )

    def _claim_command(self, message_id: str, now: float) -> Command:
        arguments = self._arguments(message_id, now, claim=True)
        return ("EVALSHA", self._claim_script.sha, 1, keys.audit_claim(message_id), *arguments)

    def _arguments(self, message_id: str, now: float, *, claim: bool) -> list[Any]:
        at = repr(now)  # as text, so that it is the same wherever it is compared
        if claim:
            self._owner.work = f"{message_id} {at}"
        own = [self._owner.name, message_id]
        return [at, CLAIM_TIMEOUT_S, UNFINISHED_TTL_S, int(claim), *own]

    def _read(self, message_id: str, asked: PipelinedCommands, made_at: float) -> Claim:
        try:
            with broker_errors():
                (found,) = asked.responses()
        except redis.exceptions.NoScriptError:  # the broker has restarted: send the script
            return self.begin(message_id)
        claim = _to_claim(message_id, found, made_at)
        return self.begin(message_id) if claim.state is ClaimState.UNSURE else claim

    def _found(self, message_id: str, *, claim: bool) -> Claim:
        while True:
            made_at = time.monotonic()
            with broker_errors():
                found = self._claim_script(
                    keys=[keys.audit_claim(message_id)],
                    args=self._arguments(message_id, self._clock(), claim=claim),
                )
            answer = _to_claim(message_id, found, made_at)
            if answer.state is not ClaimState.UNSURE:
                return answer
            # Its owner subscribes again or counts as dead within `DISCONNECTED_AFTER_S`.
            time.sleep(UNSURE_POLL_S)


def done_commands(message_id: str) -> list[Command]:
    """Commands that note that the records of a message are in the log."""
    key = keys.audit_claim(message_id)
    return [("HSET", key, "done", 1), ("EXPIRE", key, DONE_TTL_S)]


def _to_claim(message_id: str, found: list[bytes], made_at: float) -> Claim:
    state, first_at = found
    return Claim(message_id, ClaimState(state.decode()), float(first_at), made_at)
