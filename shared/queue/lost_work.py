"""Finds work of the bulk workers whose message is lost, before its lease ends.

A message is lost if the connection breaks after the broker has handed it out and before the process
has seen it, if the process that leased a step cannot send it, or if a restarted broker has lost it.
All other messages are on a queue or recorded under the name of the process that holds them: work
that is under way and has neither is lost. It counts as lost when two successive sweeps find it so
with the same lease, because a message that is just being handed out is recorded a moment later.
"""

import json
from collections.abc import Mapping

from shared.domain.clock import Clock
from shared.domain.ids import JobId
from shared.logging import get_logger
from shared.queue.waiting import HeldWork, read_held
from shared.redis import keys
from shared.redis.batch_ledger.ledger import BatchLedger, StepLease
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.fair_queues.queues import FairQueue
from shared.redis.job_store.store import JobStore

LONGEST_DELAY_S = 10.0
"""A lease that ends within this time may be that of a step that was postponed on purpose."""

CONFIRMED_AFTER_S = 1.0
"""Time between two sweeps that confirm each other, at least."""

FORGOTTEN_AFTER_S = 10
"""Time after which a sweep confirms no earlier one."""

log = get_logger("lost_work")


class LostWorkSweeper:
    """Makes lost steps and long jobs overdue, so that they are sent again.

    Args:
        client: connection to the broker instance.
        ledger: with the leases of steps.
        jobs: the stored jobs.
        bulk: the fair queue of the bulk workers.
        clock: Unix time, seconds.
    """

    def __init__(
        self,
        client: RedisClient,
        ledger: BatchLedger,
        jobs: JobStore,
        bulk: FairQueue,
        clock: Clock,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._jobs = jobs
        self._bulk = bulk
        self._clock = clock

    def sweep(self) -> int:
        """Make overdue what is certainly lost; return how many steps and messages."""
        now = self._clock()
        leases = self._ledger.leases(self._ledger.open_batches(), now + LONGEST_DELAY_S)
        held = read_held(self._client)
        missing = {
            f"step:{lease.batch_id}:{lease.step}:{lease.end}": lease
            for lease in leases
            if (lease.batch_id, lease.step) not in held.work.steps
        }
        sent = {
            f"message:{token}": item
            for item, token in held.in_flight.items()
            if token not in held.work.messages
        }
        before = self._exchange([*missing, *sent], now)
        messages = {name: item for name, item in sent.items() if name in before}
        self._release(messages, held)
        steps = [lease for name, lease in missing.items() if name in before]
        return len(messages) + sum(self._expire(lease) for lease in steps)

    def _exchange(self, names: list[str], now: float) -> set[str]:
        """Store what is missing now; return what was missing at the sweep before."""
        with broker_errors():
            if not names:
                self._client.delete(keys.LOST_WORK)
                return set()
            stored = self._client.get(keys.LOST_WORK)
            before: dict[str, float] = json.loads(stored) if stored else {}
            # The time at which each was missed first: sweeps may follow one another at once.
            at = {name: min(before.get(name, now), now) for name in names}
            self._client.set(keys.LOST_WORK, json.dumps(at), ex=FORGOTTEN_AFTER_S)
        return {name for name, first in at.items() if now - first >= CONFIRMED_AFTER_S}

    def _release(self, messages: Mapping[str, str], held: HeldWork) -> None:
        """Free the places of lost messages, and make their jobs overdue."""
        for name, item in messages.items():
            log.warning("message_lost", item=item.partition(":")[0])
            if ":" not in item and item not in held.work.jobs:
                self._jobs.postpone(self._clock(), JobId(item))
            self._bulk.release(name.removeprefix("message:"), 0.0)

    def _expire(self, lease: StepLease) -> bool:
        expired = self._ledger.expire_lease(lease)
        if expired:
            log.warning("batch_step_lost", batch_id=lease.batch_id, step=lease.step)
        return expired
