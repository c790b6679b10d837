"""How much work of batches is open: what the number of workers can follow."""

from typing import NamedTuple

from shared.domain.clock import Clock
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

MAX_BATCHES = 1000
"""Open batches, the oldest first, whose rows are counted at each reading."""

_FIELDS = ("total", "chunks_cut", "valid", "invalid", "failed")


class Backlog(NamedTuple):
    """The open batches of the service."""

    rows: int
    """Rows that are not done. Of a batch that is not split to its end, those of the chunks that are
    cut count as full chunks, and one before the first: its number of rows is not known."""
    oldest_s: float
    """Age of the oldest one, seconds; 0 without any."""


class BacklogReader:
    """Reads the backlog from the ledger.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
        chunk_rows: rows of a full chunk.
    """

    def __init__(self, client: RedisClient, clock: Clock, chunk_rows: int) -> None:
        self._client = client
        self._clock = clock
        self._chunk_rows = chunk_rows

    def read(self) -> Backlog:
        """The open batches now; raises `BrokerUnavailable`."""
        with broker_errors():
            found = self._client.zrange(keys.OPEN_BATCHES, 0, MAX_BATCHES - 1, withscores=True)
            pipeline = self._client.pipeline(transaction=False)
            for batch_id, _ in found:
                pipeline.hmget(keys.batch(batch_id.decode()), _FIELDS)
            stored = pipeline.execute() if found else []
        rows = sum(self._rows_left(each) for each in stored)
        oldest_s = max(0.0, self._clock() - found[0][1]) if found else 0.0
        return Backlog(rows, oldest_s)

    def _rows_left(self, stored: list[bytes | None]) -> int:
        total, cut, *done = stored
        rows = int(total) if total is not None else max(1, int(cut or 0) * self._chunk_rows)
        return max(0, rows - sum(int(number or 0) for number in done))
