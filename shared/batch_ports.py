"""What the bulk path needs from the outside, as protocols; see `shared.ports`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from shared.domain.batch import BatchProgress, RowCounts
from shared.domain.ids import BatchId, CallerId


class BlobWriter(Protocol):
    """A blob that is being written: a binary file, of which nobody sees anything yet."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Append bytes."""
        ...


class BlobStore(Protocol):
    """Files of batches, by batch and name: the durable truth about every batch.

    Backend down (disk full or gone): every method raises `OSError`, and what was being written
    is not there.
    """

    def write(self, batch_id: BatchId, name: str) -> AbstractContextManager[BlobWriter]:
        """Write a blob; it is durable and visible as a whole when the context ends well.

        An exception inside the context leaves things as they were.
        """
        ...

    def write_all(
        self,
        batch_id: BatchId,
        blobs: Mapping[str, Sequence[bytes | memoryview]],
        *,
        unread: Collection[str] = (),
    ) -> None:
        """Write whole blobs, given in pieces, with fewer waits than one by one.

        They become visible in this order; all are durable when this returns. Those named by
        `unread` are not read soon: memory need not be spent on them.
        """
        ...

    def read(self, batch_id: BatchId, name: str) -> BinaryIO:
        """Open a blob for reading from any place.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def size(self, batch_id: BatchId, name: str) -> int | None:
        """Size in bytes; None if there is no such blob."""
        ...

    def local_path(self, batch_id: BatchId, name: str) -> Path | None:
        """The file that a blob is, if it is one; it must not be changed, but may be linked to."""
        ...

    def names(self, batch_id: BatchId, folder: str) -> list[str]:
        """Names of the blobs whose name begins with `folder`, sorted."""
        ...

    def remove(self, batch_id: BatchId, names: Sequence[str]) -> None:
        """Delete blobs; one that is not there is no error."""
        ...

    def discard(self, batch_id: BatchId, *, keep: Sequence[str] = ()) -> None:
        """Delete all of a batch but the blobs named, what is being written included."""
        ...

    def batches(self) -> Iterator[BatchId]:
        """Every batch that has a blob, in order of age."""
        ...


class StepVerdict(StrEnum):
    """Whether a step of a batch should be carried out now."""

    RUN = "run"
    DONE = "done"
    """It was done before."""
    STOPPED = "stopped"
    """The batch is ending: cancelled, aborted or ended."""
    EXHAUSTED = "exhausted"
    """It was tried too often."""
    UNKNOWN = "unknown"
    """The ledger knows no such batch: it was removed, or the broker lost its memory."""


class StepStart(NamedTuple):
    """The answer to a worker that wants to carry out a step."""

    verdict: StepVerdict
    attempt: int


class NextSteps(NamedTuple):
    """What is to be sent now; it is leased already."""

    chunks: Sequence[int]
    assemble: bool


class BatchStore(Protocol):
    """The ledger of batches: which step is done, which is under way, and the counters.

    A step is `split`, `assemble` or a chunk's number. It accelerates what the blobs record; a
    ledger that was lost is refilled from them.

    Backend down: every method raises `BrokerUnavailable` within two seconds.
    """

    def ping(self) -> None:
        """Check that the ledger can be reached."""
        ...

    def create(self, batch_id: BatchId, accepted_at: float) -> None:
        """Open the ledger of a batch, its split leased."""
        ...

    def enlist(self, batch_id: BatchId, caller: CallerId, keep_s: int) -> None:
        """Put a batch on its caller's list (again); the list is kept so long after that."""
        ...

    def claim_form(self, batch_id: BatchId, form: str) -> bool:
        """Whether a derived form is to be ordered now: nobody has, or whoever did has died."""
        ...

    def renew_form(self, batch_id: BatchId, form: str) -> None:
        """Note that a derived form is being made."""
        ...

    def end_form(self, batch_id: BatchId, form: str) -> None:
        """Note that a derived form is made, or cannot be, and tell who waits for it."""
        ...

    def restore(
        self,
        batch_id: BatchId,
        accepted_at: float,
        *,
        chunks_cut: int,
        total: int | None,
        done: Mapping[int, RowCounts],
    ) -> bool:
        """Open a ledger again with what the blobs say is done; False if it is there."""
        ...

    def progress(self, batch_id: BatchId) -> BatchProgress | None:
        """Where the batch stands; None if the ledger knows nothing of it."""
        ...

    def begin(self, batch_id: BatchId, step: str) -> StepStart:
        """Note an attempt and renew the step's lease."""
        ...

    def note_cut(self, batch_id: BatchId, chunks_cut: int, total: int | None) -> None:
        """Note how many chunks are cut; `total` rows once the whole file is."""
        ...

    def finish_chunk(
        self, batch_id: BatchId, chunk: int, counts: RowCounts, *, abort: bool
    ) -> bool:
        """Mark a chunk done and add its counts; False, and nothing added, if it was before."""
        ...

    def postpone(self, batch_id: BatchId, step: str, delay_s: float, *, blame: bool) -> None:
        """Let the step be sent again after a while; `blame` it or take the attempt back."""
        ...

    def renew(self, batch_id: BatchId, step: str) -> None:
        """Give a step that is under way a new lease."""
        ...

    def advance(self, batch_id: BatchId) -> NextSteps:
        """Lease what can go out now: chunks within the window, or the assembly."""
        ...

    def overdue(self, batch_id: BatchId) -> list[str]:
        """Steps whose lease has run out, leased anew."""
        ...

    def abort(self, batch_id: BatchId, error: str) -> None:
        """End the batch early for an error of its own."""
        ...

    def request_cancel(self, batch_id: BatchId) -> bool:
        """Ask for the end; False if the batch has ended or is unknown."""
        ...

    def finish(self, batch_id: BatchId, progress: BatchProgress) -> bool:
        """Close the ledger with the final word; False if it was closed before."""
        ...

    def open_batches(self) -> list[BatchId]:
        """The batches that have not ended, the oldest first."""
        ...

    def claim_scan(self, interval_s: int) -> bool:
        """Whether the blobs should be looked through now; True at most once an interval.

        A ledger that lost its memory says True at once.
        """
        ...
