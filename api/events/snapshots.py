"""Server-sent events of jobs and batches: what each event holds, and its form."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import NamedTuple, TypeAlias

from api.batches.polls import BatchPolls
from api.events.streams import ReadSnapshot, StateSnapshot, follow
from api.events.waits import Client, Waits
from api.jobs.content import JobContents, Representation
from api.jobs.schemas import ModelIdentity
from shared.domain.batch import Batch
from shared.domain.errors import DomainError
from shared.domain.ids import BatchId, CallerId, JobId
from shared.domain.job import JobState
from shared.domain.valuation import DEFAULT_COVERAGE
from shared.i18n.languages import Language

EVENT_STREAM = "text/event-stream"
RETRY_MS = 2000
"""Reconnection time that is sent to clients, milliseconds."""

Snapshot: TypeAlias = StateSnapshot[bytes]
DumpBatch: TypeAlias = Callable[[Batch], bytes]

KEPT_BATCHES = 256
"""States of batches whose JSON is kept."""

STREAM_HEADERS = [
    ("Cache-Control", "private, no-store"),
    ("X-Accel-Buffering", "no"),  # nginx would buffer the events otherwise
]


class EventSource(NamedTuple):
    """A job or batch whose states are streamed."""

    id: str
    read: ReadSnapshot[bytes]


class _KeptBody(NamedTuple):
    """The JSON of a state, and what it was made of."""

    batch: Batch
    model: Mapping[str, str | None]
    """Its identity; without data while this host lacks the version (`BatchBodies`)."""
    body: bytes


class BatchBodies:
    """The JSON of the last states of batches, which all streams in one language share.

    A host may get the version of a batch after the batch: what is known of it then changes.

    Args:
        identity: `ActiveVersionCache.identity`.
    """

    def __init__(self, identity: ModelIdentity) -> None:
        self._identity = identity
        self._kept: OrderedDict[tuple[str, Language], _KeptBody] = OrderedDict()

    def body(self, batch: Batch, language: Language, dump: DumpBatch) -> bytes:
        """The JSON of a state, made by `dump` if it or its model differs from the one before."""
        key = batch.manifest.id, language
        # Before the body: a model that becomes known meanwhile has it made again.
        model = self._identity(batch.manifest.model_version)
        kept = self._kept.get(key)
        if kept is not None and kept.batch == batch and kept.model == model:
            return kept.body
        body = dump(batch)
        self._kept[key] = _KeptBody(batch, model, body)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_BATCHES:
            self._kept.popitem(last=False)
        return body


def job_source(
    contents: JobContents, job_id: JobId, caller: CallerId, language: Language
) -> EventSource:
    """The states of a job, as a read of its address answers them."""
    form = Representation(DEFAULT_COVERAGE, language)

    async def read() -> Snapshot:
        body = await contents.read(job_id, caller, form)
        parts = body.done, body.attempts, body.cancel_requested
        return _snapshot(body.json, body.state, *parts)

    return EventSource(job_id, read)


def batch_source(
    batches: BatchPolls, batch_id: BatchId, caller: CallerId, dump: DumpBatch
) -> EventSource:
    """The states of a batch, with counts, speed and remaining time.

    Args:
        batches: reads them.
        batch_id: of the batch.
        caller: its owner.
        dump: makes the JSON of a state.
    """

    async def read() -> Snapshot:
        batch = await batches.read(batch_id, caller)
        progress = batch.progress
        return _snapshot(
            dump(batch), progress.state, progress.counts.done, progress.cancel_requested
        )

    return EventSource(batch_id, read)


def _snapshot(body: bytes, state: JobState, *id_parts: int) -> Snapshot:
    event_id = ".".join([str(state), *(str(int(each)) for each in id_parts)])
    return StateSnapshot(body, event_id, state.is_terminal)


def is_over(snapshot: Snapshot, last_event_id: str | None) -> bool:
    """Whether a client knows the last state already, so that nothing more will happen."""
    return snapshot.is_last and snapshot.event_id == last_event_id


async def events(
    waits: Waits, source: EventSource, last_event_id: str | None, client: Client
) -> AsyncGenerator[bytes, None]:
    """The stream of events; it ends early if a state cannot be read or the key is revoked.

    The status is sent by then. The client reconnects, and then gets the status of the error.

    Raises:
        TooManyWaits: there is no place; nothing was yielded.
        ClientLeftError: the client has left.
    """
    has_begun = False
    try:
        async for snapshot in follow(waits, source.id, source.read, last_event_id, client):
            if not has_begun:
                has_begun = True
                yield b"retry: %d\n\n" % RETRY_MS
            else:
                yield b":\n\n" if snapshot is None else _event(snapshot)
    except DomainError:
        if not has_begun:
            raise


def _event(snapshot: Snapshot) -> bytes:
    name = b"end" if snapshot.is_last else b"progress"
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (snapshot.event_id.encode(), name, snapshot.state)
