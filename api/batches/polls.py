"""Polls of batches on the event loop: requests that ask for the same batch share a read."""

from api.batches.service import Batches
from api.events.waits import Client, Waits
from api.loops.event_loops import EventLoops
from api.loops.shared_reads import SharedReads
from shared.domain.batch import Batch
from shared.domain.ids import BatchId, CallerId


class BatchPolls:
    """Reads batches and waits for their ends, without a thread for each waiting request.

    Args:
        batches: reads their states.
        waits: the requests that wait.
        loops: provides threads for the reads.
    """

    def __init__(self, batches: Batches, waits: Waits, loops: EventLoops) -> None:
        self._batches = batches
        self._waits = waits
        self._reads = SharedReads(loops.threads)

    async def read(self, batch_id: BatchId, caller: CallerId) -> Batch:
        """A batch of this caller; raises as `Batches.get`."""
        return await self._reads.read(
            (batch_id, caller), lambda: self._batches.get(batch_id, caller)
        )

    async def wait(
        self, batch_id: BatchId, caller: CallerId, timeout_s: float, client: Client
    ) -> Batch:
        """A batch when it has ended, or after `timeout_s`; raises also as `Waits.poll`."""
        return await self._waits.poll(
            batch_id,
            lambda: self.read(batch_id, caller),
            lambda batch: batch.progress.state.is_terminal,
            timeout_s,
            client,
        )
