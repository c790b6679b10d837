"""Replays and drops dead letters: work that failed the maximum number of times."""

from collections.abc import Sequence

from shared.blobs.batch_files import BatchFiles, part_name
from shared.blobs.job_payloads import JobPayloads
from shared.blobs.stores import open_job_store
from shared.domain.clock import Clock
from shared.domain.errors import DeadLetterNotReplayable
from shared.domain.ids import BatchId, JobId
from shared.logging import get_logger
from shared.queue.work import WorkSender
from shared.redis.batch_ledger.ledger import BatchLedger, make_ledger
from shared.redis.connections import RedisClient
from shared.redis.dead_letters import DeadKind, DeadLetter, DeadLetters
from shared.redis.job_store.store import JobStore
from shared.settings import Settings

log = get_logger("dead_letters")


def open_dead_letters(
    settings: Settings, broker: RedisClient, files: BatchFiles, work: WorkSender, clock: Clock
) -> "DeadLetterService":
    """The service of a process that has these connections."""
    return DeadLetterService(
        DeadLetters(broker, clock),
        JobStore(
            broker,
            clock,
            retention_s=settings.job_retention_s,
            lease_s=settings.job_lease_s,
            payloads=JobPayloads(open_job_store(settings)),
        ),
        files,
        make_ledger(broker, clock, settings),
        work,
    )


class DeadLetterService:
    """What an operator does with dead letters.

    Args:
        letters: the list of them.
        jobs: the stored jobs.
        files: records and blobs of batches.
        ledger: the ledger of batches.
        work: queues work.
    """

    def __init__(
        self,
        letters: DeadLetters,
        jobs: JobStore,
        files: BatchFiles,
        ledger: BatchLedger,
        work: WorkSender,
    ) -> None:
        self._letters = letters
        self._jobs = jobs
        self._files = files
        self._ledger = ledger
        self._work = work

    def list(self) -> list[DeadLetter]:
        """All dead letters, newest first."""
        return self._letters.all()

    def replay(self, letter_id: str) -> DeadLetter:
        """Have the work carried out again, with all its attempts; returns its dead letter.

        A job is queued again under its id. A batch that has ended runs again: the part of the chunk
        that failed is made anew, then the result files are, with its rows.

        Raises:
            DeadLetterNotFound: there is none with this id.
            DeadLetterNotReplayable: what is needed for it is gone.
        """
        letter = self._letters.get(letter_id)
        self._replay([letter])
        return letter

    def replay_of_batch(self, letter_id: str) -> Sequence[DeadLetter]:
        """Replay a dead letter with all others of its batch, which then runs again once.

        Raises:
            DeadLetterNotFound: there is none with this id.
            DeadLetterNotReplayable: what is needed for it is gone.
        """
        letter = self._letters.get(letter_id)
        is_step = letter.kind is DeadKind.STEP
        letters = self._letters.of_batch(letter.work_id) if is_step else [letter]
        self._replay(letters)
        return letters

    def _replay(self, letters: Sequence[DeadLetter]) -> None:
        """Replay a job, or steps of one batch."""
        if letters[0].kind is DeadKind.JOB:
            self._replay_job(letters[0])
        else:
            self._replay_steps(letters)
        for letter in letters:
            self._letters.remove(letter.id)
            log.warning("dead_letter_replayed", id=letter.id)

    def drop(self, letter_id: str) -> DeadLetter:
        """Forget a dead letter: its job stays failed, its rows stay without a price.

        Raises:
            DeadLetterNotFound: there is none with this id.
        """
        letter = self._letters.get(letter_id)
        self._letters.remove(letter.id)
        is_last = letter.kind is DeadKind.STEP and not self._letters.of_batch(letter.work_id)
        if is_last and self._files.final(BatchId(letter.work_id)) is not None:
            self._files.delete_intermediates(BatchId(letter.work_id))
        log.warning("dead_letter_dropped", id=letter.id)
        return letter

    def _replay_job(self, letter: DeadLetter) -> None:
        job_id = JobId(letter.work_id)
        if not self._jobs.reopen(job_id):
            raise DeadLetterNotReplayable(id=letter.id)
        job = self._jobs.load(job_id)
        if job is None:
            raise DeadLetterNotReplayable(id=letter.id)
        self._work.send_job(job)

    def _replay_steps(self, letters: Sequence[DeadLetter]) -> None:
        batch_id = BatchId(letters[0].work_id)
        manifest, final = self._files.manifest(batch_id), self._files.final(batch_id)
        if (
            manifest is None
            or manifest.corrects is not None
            or final is None  # it runs: its failed part can be replaced when it has ended
            or final.corrections
            or not self._files.has_intermediates(batch_id)
        ):
            raise DeadLetterNotReplayable(id=letters[0].id)
        chunks = [int(letter.step) for letter in letters if letter.step.isdigit()]
        self._files.blobs.remove(batch_id, [part_name(chunk) for chunk in chunks])
        # Without final record and ledger it is an unfinished batch whose ledger was lost: the next
        # sweep restores it from its parts and sends what is missing.
        self._files.reopen(batch_id)
        self._ledger.forget(batch_id)
        self._work.request_sweep()
