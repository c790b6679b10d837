"""Sends the steps of a batch: the ledger leases them first, so none is lost for good."""

import time
from collections.abc import Callable
from typing import Any

from shared.adapters.redis_batches import BatchLedger
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import BatchId
from shared.logging import get_logger
from shared.names import TaskName

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
