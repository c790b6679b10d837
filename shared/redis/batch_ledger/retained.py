"""What is known about ended batches, so that a scan reads none of their blobs again before it must.

And how far the scan of all batches is: it is done in slices, each by any process.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

import msgpack

from shared.domain.ids import BatchId, CallerId
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

LOCK_TTL_S = 60
"""Longer than a slice takes; after a failure the next slice begins when it is over."""


class RetainedBatch(NamedTuple):
    """An ended batch, as it was read last."""

    caller: CallerId
    until: float
    """Unix time before which nothing is due: it does not expire, or its tombstone stays."""
    is_tombstone: bool

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """The inverse of `pack`; values that a newer version has added are ignored."""
        caller, until, is_tombstone, *_ = msgpack.unpackb(packed)
        return cls(CallerId(caller), until, is_tombstone)

    def pack(self) -> bytes:
        """As it is stored."""
        packed: bytes = msgpack.packb(list(self))
        return packed


class RetainedBatches:
    """The ended batches that are known, and the place of the scan.

    Everything may be lost: it is read from the blobs again. While the broker is down, every method
    raises `BrokerUnavailable` within two seconds.

    Args:
        client: connection to the broker instance.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def get(self, batch_id: BatchId) -> RetainedBatch | None:
        """What is known about a batch; None if nothing is."""
        with broker_errors():
            packed = self._client.hget(keys.RETAINED_BATCHES, batch_id)
        return RetainedBatch.unpack(packed) if packed else None

    def note(self, batch_id: BatchId, batch: RetainedBatch) -> None:
        """Remember a batch that has ended."""
        with broker_errors():
            self._client.hset(keys.RETAINED_BATCHES, batch_id, batch.pack())

    def forget(self, batch_id: BatchId) -> None:
        """Have the next scan read the batch."""
        with broker_errors():
            self._client.hdel(keys.RETAINED_BATCHES, batch_id)

    def begin_scan(self) -> None:
        """Have all batches looked at, unless that is under way."""
        with broker_errors():
            self._client.set(keys.BATCH_SCAN_PLACE, "", nx=True)

    def record_place(self, batch_id: BatchId) -> None:
        """Record that this batch and all before it were looked at."""
        with broker_errors():
            self._client.set(keys.BATCH_SCAN_PLACE, batch_id, xx=True)

    def end_scan(self, existing: Collection[BatchId]) -> None:
        """Record the end of a scan, and forget all batches but these."""
        with broker_errors():
            known = map(bytes.decode, self._client.hkeys(keys.RETAINED_BATCHES))
            gone = set(known).difference(existing)
            if gone:
                self._client.hdel(keys.RETAINED_BATCHES, *gone)
            self._client.delete(keys.BATCH_SCAN_PLACE)

    @contextmanager
    def slice(self) -> Iterator[str | None]:
        """Go on with the scan in this context.

        Yields:
            The last batch that was looked at, "" at the beginning; None if no scan is under way, or
            another process goes on with it.
        """
        with broker_errors():
            place = self._client.get(keys.BATCH_SCAN_PLACE)
            is_claimed = place is not None and bool(
                self._client.set(keys.BATCH_SCAN_LOCK, 1, nx=True, ex=LOCK_TTL_S)
            )
        if place is None or not is_claimed:
            yield None
            return
        # After an error the lock stays: a store that is away is not asked by every sweep.
        yield place.decode()
        with broker_errors():
            self._client.delete(keys.BATCH_SCAN_LOCK)
