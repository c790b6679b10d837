"""Publishes each audit segment of a batch on one host, while several hosts share their state.

A host claims a segment in the broker before it publishes it, and notes when the segment is in its
log. A claim of a host that died in between is taken over, after the hosts have been asked.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from shared.audit.chain import day_of, file_name
from shared.audit.checkpoints import Checkpoints
from shared.audit.hosts.shared_records import SharedRecords
from shared.blobs.parts import PartHead
from shared.blobs.stores import BlobStore
from shared.domain.batch import BatchManifest
from shared.domain.ids import BatchId
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.settings import Settings
from worker.batches.audit_segments import (
    fsync_segment_names,
    list_batch_segments,
    publish_part_segment,
    segment_name,
)

CLAIM_TTL_S = 7 * 86_400
"""Longer than a batch may take."""
CLAIMED, PUBLISHED = b":claimed", b":published"


class SharedSegments:
    """Claims and publishes segments.

    Args:
        folder: the audit log of this host.
        blobs: store of the parts.
        checkpoints: of the log.
        records: what other hosts have recorded.
        client: of the broker.
    """

    @classmethod
    def of(
        cls, settings: Settings, blobs: BlobStore, checkpoints: Checkpoints, client: RedisClient
    ) -> Self | None:
        """Those of a service; None: no other host shares its state."""
        records = SharedRecords.of(settings, client)
        if records is None:
            return None
        return cls(settings.audit_folder, blobs, checkpoints, records, client)

    def __init__(
        self,
        folder: Path,
        blobs: BlobStore,
        checkpoints: Checkpoints,
        records: SharedRecords,
        client: RedisClient,
    ) -> None:
        self._folder = folder
        self._blobs = blobs
        self._checkpoints = checkpoints
        self._records = records
        self._client = client
        self._own = records.host.encode()

    def publish(
        self,
        manifest: BatchManifest,
        chunk: int,
        head: PartHead,
        *,
        lines: bytes | memoryview = b"",
    ) -> None:
        """Publish the segment of a part, unless another host has or does so.

        Its `lines` are given by the process that has made them.

        Raises:
            AuditUnavailable: the log cannot be written, or it is not known yet whether another host
                has the segment.
            BrokerUnavailable: the broker does not answer.
        """
        if not head.recorded:
            return
        key = keys.audit_segments(manifest.id)
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hsetnx(key, chunk, self._own + CLAIMED)
            pipeline.expire(key, CLAIM_TTL_S)
            pipeline.hget(key, chunk)
            claim = pipeline.execute()[-1]
        if claim is not None and claim.endswith(PUBLISHED):
            return
        if claim != self._own + CLAIMED and self._held_elsewhere(manifest, [chunk]):
            return
        publish_part_segment(self._folder, self._blobs, manifest, chunk, head, lines=lines)
        fsync_segment_names(self._folder)
        list_batch_segments(self._folder, self._checkpoints, manifest, [chunk])
        with broker_errors():
            self._client.hset(key, str(chunk), self._own + PUBLISHED)

    def published(self, manifest: BatchManifest, chunks: Iterable[int]) -> set[int]:
        """Which segments of a batch are published; hosts that died are asked for at once.

        Raises:
            AuditUnavailable, BrokerUnavailable: as of `publish`.
        """
        key = keys.audit_segments(manifest.id)
        with broker_errors():
            claims = {int(chunk): claim for chunk, claim in self._client.hgetall(key).items()}
        done = {chunk for chunk, claim in claims.items() if claim.endswith(PUBLISHED)}
        open_chunks = [
            chunk
            for chunk in chunks
            if chunk not in done and claims.get(chunk) != self._own + CLAIMED
        ]
        return done | self._held_elsewhere(manifest, open_chunks)

    def _held_elsewhere(self, manifest: BatchManifest, chunks: Iterable[int]) -> set[int]:
        """Which segments are in the logs of other hosts; they are noted."""
        names = {_file_of(manifest, chunk): chunk for chunk in chunks}
        found = {names[name] for name in self._records.with_files(names)} if names else set()
        if found:
            with broker_errors():
                self._client.hset(
                    keys.audit_segments(manifest.id),
                    mapping={str(chunk): b"another" + PUBLISHED for chunk in found},
                )
        return found


def _file_of(manifest: BatchManifest, chunk: int) -> str:
    return file_name(day_of(manifest.accepted_at), segment_name(BatchId(manifest.id), chunk))
