"""Queues the steps of a batch under leases of the ledger, and retries failed ones."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shared.domain.errors import (
    AuditUnavailable,
    BrokerUnavailable,
    DomainError,
    UnreadableRecord,
)
from shared.domain.ids import BatchId, CallerId
from shared.logging import get_logger
from shared.metrics import BATCH_STEPS_PAUSED, RECORDS_UNREADABLE
from shared.queue.names import TaskName
from shared.queue.work import SendWork
from shared.redis.batch_ledger.ledger import BatchLedger, StepAttempt

SPLIT = "split"
ASSEMBLE = "assemble"
_TASKS = {SPLIT: TaskName.SPLIT_BATCH, ASSEMBLE: TaskName.ASSEMBLE_BATCH}

LONG_BATCH_CHUNKS = 25
"""Chunks of a batch whose results take more than half a second to assemble."""

PLACES_KEPT_S = 1.0
"""How long the number of bulk processes is kept in memory."""

MAX_KEPT_CALLERS = 1000
"""Batches whose caller is kept in memory."""

log = get_logger("batch")


class BatchStepSender:
    """Queues the steps of batches; a bounded window of chunks of a batch is in work at once.

    Args:
        ledger: the ledger.
        send: queues a step.
        places: number of processes of the live bulk workers, which all may work for one batch.
    """

    def __init__(
        self, ledger: BatchLedger, send: SendWork, places: Callable[[], int] = lambda: 0
    ) -> None:
        self._ledger = ledger
        self._send = send
        self._read_places = places
        self._places, self._places_until = 0, float("-inf")
        self._callers: dict[BatchId, CallerId] = {}

    def advance(self, batch_id: BatchId) -> None:
        """Send the steps that are due."""
        now = time.monotonic()
        if now > self._places_until:
            self._places, self._places_until = self._read_places(), now + PLACES_KEPT_S
        steps = self._ledger.advance(batch_id, self._places)
        for chunk in steps.chunks:
            self.send_step(batch_id, str(chunk))
        if steps.assemble:
            self.send_step(batch_id, ASSEMBLE)

    def send_step(self, batch_id: BatchId, step: str) -> None:
        """Queue one step; if that fails, the sweep sends it when its lease has expired."""
        arguments: dict[str, Any] = {"batch_id": batch_id}
        task = _TASKS.get(step, TaskName.VALUE_CHUNK)
        if task is TaskName.VALUE_CHUNK:
            arguments |= {"chunk": int(step), "enqueued_at": time.time()}
        try:
            if task is TaskName.VALUE_CHUNK:
                self._send(task, arguments, self._caller(batch_id))
                return
            owner = self._ledger.owner(batch_id)
            # Each task to split cuts a part of the file, from the last chunk on.
            part = owner.chunks if task is TaskName.SPLIT_BATCH else 0
            is_slow = task is TaskName.ASSEMBLE_BATCH and owner.chunks > LONG_BATCH_CHUNKS
            self._send(task, arguments, owner.caller, part=part, is_slow=is_slow)
        except BrokerUnavailable as error:
            log.warning("batch_step_not_sent", batch_id=batch_id, step=step, error=str(error))

    def _caller(self, batch_id: BatchId) -> CallerId:
        """The caller of a batch, which never changes."""
        caller = self._callers.get(batch_id)
        if caller is None:
            if len(self._callers) >= MAX_KEPT_CALLERS:
                self._callers.clear()
            caller = self._callers[batch_id] = self._ledger.owner(batch_id).caller
        return caller


ATTEMPTS_EXHAUSTED = "attempts-exhausted"
OUTAGE_RETRY_DELAY_S = 1.0
"""Delay after a full disk or the like, which counts as no attempt."""

OUTAGE_WAIT_S = 30.0
"""About the lease of a step, after which the sweep sends it again anyway."""

OUTAGE_POLL_S = 0.5

NEWER_RETRY_DELAY_S = 10.0
"""Delay of a step whose records this version cannot read, which counts as no attempt."""


def failure_kind(error: Exception) -> str:
    """What a dead letter says of a failure: an error's code, or the class of an exception."""
    return error.code if isinstance(error, DomainError) else type(error).__name__


@contextmanager
def step_attempt(ledger: BatchLedger, batch_id: BatchId, step: str) -> Iterator[StepAttempt]:
    """Begin an attempt of a step, and postpone the step if the body fails.

    A failure of the storage counts as no attempt. Only `BrokerUnavailable` leaves the context. If
    the ledger cannot be written either, the step is postponed as soon as it can.

    Args:
        ledger: the ledger.
        batch_id: of the batch.
        step: the step.

    Yields:
        The ledger's decision; the body has to follow it.
    """
    try:
        start = ledger.begin(batch_id, step)
        yield start
    except BrokerUnavailable as error:
        log.warning("batch_step_interrupted", batch_id=batch_id, step=step, error=str(error))
        _postpone_after_outage(ledger, batch_id, step)
        raise
    except FileNotFoundError as error:
        log.warning("batch_blob_missing", batch_id=batch_id, step=step, error=str(error))
        ledger.record_failure(batch_id, step, "blob-missing")
        ledger.postpone(batch_id, step, start.attempt, count_attempt=True)
    except UnreadableRecord as error:
        # A worker of a newer version can carry the step out; this one waits for it.
        log.warning("batch_record_unreadable", batch_id=batch_id, step=step, error=str(error))
        RECORDS_UNREADABLE.labels(record="batch").inc()
        ledger.postpone(batch_id, step, NEWER_RETRY_DELAY_S, count_attempt=False)
    except (OSError, AuditUnavailable) as error:
        log.warning("batch_step_paused", batch_id=batch_id, step=step, error=str(error))
        BATCH_STEPS_PAUSED.inc()
        _postpone_after_outage(ledger, batch_id, step)
    except Exception as error:
        log.exception("batch_step_failed", batch_id=batch_id, step=step, attempt=start.attempt)
        # The text of an exception may contain cells of the file: only its kind is kept.
        ledger.record_failure(batch_id, step, failure_kind(error))
        ledger.postpone(batch_id, step, start.attempt, count_attempt=True)


def _postpone_after_outage(ledger: BatchLedger, batch_id: BatchId, step: str) -> None:
    """Postpone a step without counting an attempt, as soon as the ledger can be written.

    A step that is not postponed would be repeated only when its lease ends.

    Raises:
        BrokerUnavailable: the ledger cannot be written for longer than `OUTAGE_WAIT_S`.
    """
    until = time.monotonic() + OUTAGE_WAIT_S
    while True:
        try:
            return ledger.postpone(batch_id, step, OUTAGE_RETRY_DELAY_S, count_attempt=False)
        except BrokerUnavailable:
            if time.monotonic() > until:
                raise
        time.sleep(OUTAGE_POLL_S)
