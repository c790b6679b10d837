"""Claims on messages: one worker writes the audit records of each, even if delivered twice."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import NamedTuple

import msgpack

from shared.domain.clock import Clock
from shared.redis import keys
from shared.redis.connections import ALLOW_OOM, ConnectionCache, RedisClient, broker_errors
from shared.redis.job_store.store import MAX_LEASE_S
from shared.redis.owners import LIVENESS, WORKING, Owner
from shared.redis.pipelines import PipelinedCommands, ScriptCall

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
# and the time of its claim, `work`, the first of the claims that were made together, and `done`.
# An owner counts only if `owned_at` is `latest`: workers of earlier releases do not name
# themselves. It holds the claim while it is alive and `working` names that work as what it carries
# out.
# ARGV: now, seconds after which a claim without owner is in doubt, time to live, claim them (1) or
# look only (0), owner, work, key prefix of claims, messages.
# Returns the state and the time of the first claim of each, packed.
_CLAIM_SCRIPT = (
    LIVENESS
    + WORKING
    + """
local found, is_claimed = {}, false
for i = 8, #ARGV do
  local claim = ARGV[7] .. ARGV[i]
  local first, latest, owner, owned_at, work, done =
    unpack(redis.call('HMGET', claim, 'first', 'latest', 'owner', 'owned_at', 'work', 'done'))
  local state = 'fresh'
  if done then state = 'done'
  elseif first and owner and owned_at == latest then
    -- A process carries out one message at a time: its own former attempt is over.
    local life = 'dead'
    local named = (work or ARGV[i]) .. ' ' .. latest
    if owner ~= ARGV[5] and redis.call('HGET', working, owner) == named then
      life = liveness(owner)
    end
    state = ({alive = 'busy', dead = 'doubtful', unsure = 'unsure'})[life]
  elseif first then
    local age = tonumber(ARGV[1]) - tonumber(latest)
    state = age >= 0 and age < tonumber(ARGV[2]) and 'busy' or 'doubtful'
  end
  if ARGV[4] == '1' and (state == 'fresh' or state == 'doubtful') then
    redis.call('HSETNX', claim, 'first', ARGV[1])
    redis.call('HSET', claim, 'latest', ARGV[1], 'owner', ARGV[5], 'owned_at', ARGV[1],
               'work', ARGV[6])
    redis.call('EXPIRE', claim, ARGV[3])
    is_claimed = true
  end
  found[i - 7] = {state, first or ARGV[1]}
end
if is_claimed then
  redis.call('ZADD', owners, now, ARGV[5])
  redis.call('HSET', working, ARGV[5], ARGV[6] .. ' ' .. ARGV[1])
end
return cmsgpack.pack(found)
"""
)

# ARGV: time to live, key prefix of claims, messages whose records are in the log.
_DONE_SCRIPT = """
for i = 3, #ARGV do
  redis.call('HSET', ARGV[2] .. ARGV[i], 'done', 1)
  redis.call('EXPIRE', ARGV[2] .. ARGV[i], ARGV[1])
end
"""

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


class RedisClaims:
    """Claims on messages, in the broker's Redis: one worker writes the audit records of each.

    A claim is that of a process and lasts while the process lives (`shared.redis.owners`). A
    process claims all that one Celery message names at once.

    Args:
        client: connection to the broker instance.
        clock: the time of day.
        owner: this process, which carries out one Celery message at a time.
    """

    def __init__(self, client: RedisClient, clock: Clock, owner: Owner) -> None:
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._owner = owner
        self._client = client
        self._claim_script = client.register_script(ALLOW_OOM + _CLAIM_SCRIPT)
        self._done_script = client.register_script(ALLOW_OOM + _DONE_SCRIPT)
        self._release_script = client.register_script(ALLOW_OOM + _RELEASE_SCRIPT)

    def begin(self, message_id: str) -> Claim:
        """Claim a message; if it was FRESH or DOUBTFUL, the caller has to write its records."""
        (claim,) = self.begin_all([message_id])
        return claim

    def begin_all(self, message_ids: Sequence[str]) -> list[Claim]:
        """As `begin`, of many messages by one round trip."""
        with self.begin_concurrently(message_ids, self._clock()) as claimed:
            return claimed()

    @contextmanager
    def begin_concurrently(
        self, message_ids: Sequence[str], now: float
    ) -> Iterator[Callable[[], list[Claim]]]:
        """Send claims on entry; the returned function reads the response.

        Work that can be discarded may run in between.
        """
        asked = _Question(message_ids[0], repr(now), time.monotonic(), is_claim=True)
        self._owner.work = f"{asked.work} {asked.at}"
        call = self._call(asked, message_ids)
        with ExitStack() as stack:
            with broker_errors():
                sent = stack.enter_context(PipelinedCommands(self._connections, call))
            yield lambda: self._read(asked, message_ids, sent)

    def peek(self, message_id: str) -> Claim:
        """Read the state of a message without claiming it."""
        asked = _Question(message_id, repr(self._clock()), time.monotonic(), is_claim=False)
        (claim,) = self._ask(asked, [message_id])
        return claim

    def marking_done(self, claims: Iterable[Claim]) -> ScriptCall:
        """The call that notes that the records of these messages are in the log."""
        ids = [claim.message_id for claim in claims]
        return ScriptCall(self._done_script, (), (DONE_TTL_S, keys.audit_claim(""), *ids))

    def still_held(self, claims: Sequence[Claim]) -> list[Claim]:
        """Those of the claims that no other process has taken over, before records are written."""
        if all(time.monotonic() - claim.made_at < VERIFY_AFTER_S for claim in claims):
            return list(claims)
        commands = [("HGET", keys.audit_claim(claim.message_id), "owner") for claim in claims]
        with broker_errors(), PipelinedCommands(self._connections, *commands) as sent:
            owners = sent.responses()
        own = self._owner.name.encode()
        return [claim for claim, owner in zip(claims, owners, strict=True) if owner == own]

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

    def _call(self, asked: "_Question", message_ids: Sequence[str]) -> ScriptCall:
        return ScriptCall(
            self._claim_script,
            (),
            (
                asked.at, CLAIM_TIMEOUT_S, UNFINISHED_TTL_S, int(asked.is_claim), self._owner.name,
                asked.work, keys.audit_claim(""), *message_ids,
            ),
        )  # fmt: skip

    def _ask(self, asked: "_Question", message_ids: Sequence[str]) -> list[Claim]:
        call = self._call(asked, message_ids)
        with broker_errors(), PipelinedCommands(self._connections, call) as sent:
            return self._read(asked, message_ids, sent)

    def _read(
        self, asked: "_Question", message_ids: Sequence[str], sent: PipelinedCommands
    ) -> list[Claim]:
        with broker_errors():
            (packed,) = sent.responses()
        claims = [
            Claim(message_id, ClaimState(state), float(first_at), asked.sent_at)
            for message_id, (state, first_at) in zip(
                message_ids, msgpack.unpackb(packed), strict=True
            )
        ]
        unsure = [claim.message_id for claim in claims if claim.state is ClaimState.UNSURE]
        if not unsure:
            return claims
        # Their owner subscribes again or counts as dead within `DISCONNECTED_AFTER_S`.
        time.sleep(UNSURE_POLL_S)
        known = {claim.message_id: claim for claim in self._ask(asked, unsure)}
        return [known.get(claim.message_id, claim) for claim in claims]


class _Question(NamedTuple):
    """What is asked about messages."""

    work: str
    """The first of the messages that are claimed together."""
    at: str
    """Unix time, as text, so that it is the same wherever it is compared."""
    sent_at: float
    """Monotonic time."""
    is_claim: bool
