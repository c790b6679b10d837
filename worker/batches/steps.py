"""The steps of a batch: sent under a lease of the ledger, retried a bounded number of times."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shared.domain.errors import AuditUnavailable, BrokerUnavailable
from shared.domain.ids import BatchId
from shared.logging import get_logger
from shared.queue.names import TaskName
from shared.redis.batches import BatchLedger

SPLIT = "split"
ASSEMBLE = "assemble"

log = get_logger("batch")

Send = Callable[[TaskName, dict[str, Any]], None]
"""Puts a task with its arguments on the queue; raises `BrokerUnavailable`."""


class BatchStepSender:
    """Keeps a batch going, a window of chunks at a time.

    Args:
        store: the ledger.
        send: puts a task on the queue.
    """

    def __init__(self, store: BatchLedger, send: Send) -> None:
        self._store = store
        self._send = send

    def advance(self, batch_id: BatchId) -> None:
        """Send whatever is due now."""
        steps = self._store.advance(batch_id)
        for chunk in steps.chunks:
            self.send_step(batch_id, str(chunk))
        if steps.assemble:
            self.send_step(batch_id, ASSEMBLE)

    def send_step(self, batch_id: BatchId, step: str) -> None:
        """Send one step; one that cannot be sent now is sent by the sweep when it is overdue."""
        arguments: dict[str, Any] = {"batch_id": batch_id}
        if step == SPLIT:
            task = TaskName.SPLIT_BATCH
        elif step == ASSEMBLE:
            task = TaskName.ASSEMBLE_BATCH
        else:
            task = TaskName.VALUE_CHUNK
            arguments |= {"chunk": int(step), "enqueued_at": time.time()}
        try:
            self._send(task, arguments)
        except BrokerUnavailable as error:
            log.warning("batch_step_not_sent", batch_id=batch_id, step=step, error=str(error))


ATTEMPTS_EXHAUSTED = "attempts-exhausted"
OUTAGE_RETRY_DELAY_S = 5.0
"""After a full disk or the like: the step is not at fault, and is tried until it works."""


@contextmanager
def retry_on_failure(
    store: BatchLedger, batch_id: BatchId, step: str, attempt: int
) -> Iterator[None]:
    """Have the step sent again if it fails; a failure of its own counts as an attempt."""
    try:
        yield
    except BrokerUnavailable as error:
        # The ledger cannot be told: the lease runs out by itself.
        log.warning("batch_step_interrupted", batch_id=batch_id, step=step, error=str(error))
        raise
    except FileNotFoundError as error:
        log.warning("batch_blob_missing", batch_id=batch_id, step=step, error=str(error))
        store.postpone(batch_id, step, attempt, count_attempt=True)
    except (OSError, AuditUnavailable) as error:
        log.warning("batch_step_paused", batch_id=batch_id, step=step, error=str(error))
        store.postpone(batch_id, step, OUTAGE_RETRY_DELAY_S, count_attempt=False)
    except Exception:
        log.exception("batch_step_failed", batch_id=batch_id, step=step, attempt=attempt)
        store.postpone(batch_id, step, attempt, count_attempt=True)
