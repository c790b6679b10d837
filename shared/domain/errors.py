"""Domain errors; `api.http.problems` maps each to its HTTP status.

Every class has a problem `code`; `shared.messages` has its texts in every language under that
code, with gaps for the error's `params`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar


class DomainError(Exception):
    """Base of all expected failures. `params` fill the gaps of the texts."""

    code: ClassVar[str] = "internal-error"

    def __init_subclass__(cls, code: str) -> None:
        cls.code = code

    def __init__(self, **params: Any) -> None:
        self.params = params
        super().__init__(self.code, params)

    def __str__(self) -> str:
        """The code and the parameters, for logs."""
        details = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{self.code}({details})"


class InvalidInput(DomainError, code="invalid-input"):
    """The request's content breaks a rule; `problems` lists each place and why."""

    def __init__(self, problems: "list[FieldProblem]", **params: Any) -> None:
        self.problems = problems
        super().__init__(**params)


class FieldProblem:
    """One place of an input, and the rule that it breaks."""

    __slots__ = ("code", "params", "pointer")

    def __init__(self, pointer: str, code: str, **params: Any) -> None:
        self.pointer = pointer
        self.code = code
        self.params = params

    def __repr__(self) -> str:
        """All attributes, for test failures."""
        return f"FieldProblem({self.pointer!r}, {self.code!r}, {self.params!r})"


class UnreadableUpload(InvalidInput, code="unreadable-upload"):
    """The uploaded file cannot be read as a table of cars; `problems` say where and why."""

    @classmethod
    def of(cls, code: str, pointer: str = "/file", **params: Any) -> "UnreadableUpload":
        """The error with a single problem, by default of the file as a whole."""
        return cls([FieldProblem(pointer, code, **params)])


class ValuationNotFound(DomainError, code="valuation-not-found"):
    """This caller was given no valuation with this id."""


class ValuationExpired(DomainError, code="valuation-expired"):
    """The valuation is too old for a sale to be reported."""


class EstimateExpired(DomainError, code="estimate-expired"):
    """The estimate was kept under its address for `days` days, which are over."""


class JobNotFound(DomainError, code="job-not-found"):
    """No job of this caller has this id."""


class JobExpired(DomainError, code="job-expired"):
    """The job existed; its retention time is over."""


class JobDeleted(DomainError, code="job-deleted"):
    """The job existed; its caller has deleted it."""


class JobStorageFull(DomainError, code="job-storage-full"):
    """Memory is nearly full, and this caller's jobs hold most of it."""


class JobAlreadyEnded(DomainError, code="job-already-ended"):
    """The job has ended: there is nothing left to cancel."""


class BatchNotFound(DomainError, code="batch-not-found"):
    """No batch of this caller has this id."""


class BatchExpired(DomainError, code="batch-expired"):
    """The batch existed; its retention time is over and its files are gone."""


class BatchDeleted(DomainError, code="batch-deleted"):
    """The batch existed; its caller has deleted it."""


class ResultNotReady(DomainError, code="result-not-ready"):
    """The batch is still running."""


class PartialResultIsCsv(ResultNotReady, code="first-rows-are-csv"):
    """The batch is running: its first rows are available as plain CSV only."""


class ExportNotReady(ResultNotReady, code="form-not-ready"):
    """The result exists; its file in the format `form` is being written."""


class TooManyRowsForSheet(DomainError, code="too-many-rows-for-sheet"):
    """The results have `rows` rows; a sheet of a workbook holds `maximum`."""


class TooManyRowsForTable(DomainError, code="too-many-rows-for-table"):
    """The results have `rows` rows; pages of rows are made of `maximum` at most."""


class TooManyRowsForSearch(DomainError, code="too-many-rows-for-search"):
    """The results have `rows` rows; texts are searched in `maximum` at most."""


class NothingToRetry(DomainError, code="nothing-to-retry"):
    """The file of the batch `id` is refused, or is not stored any more."""


class CorrectionInProgress(DomainError, code="correction-in-progress"):
    """Another correction of the batch `id` was accepted and has not ended, or has just ended."""


class NothingToCorrect(DomainError, code="nothing-to-correct"):
    """The batch `id` has no rejected rows."""


class UploadTooLarge(DomainError, code="upload-too-large"):
    """The file has more than `maximum` bytes, as sent or decompressed."""


class DecompressionBomb(DomainError, code="upload-overpacked"):
    """The file unpacks to more than `ratio` times its size, as only decompression bombs do."""


class UnsupportedUpload(DomainError, code="unsupported-upload"):
    """The upload is of a kind that is not read: `given` instead of `expected`."""


class BatchAlreadyEnded(DomainError, code="batch-already-ended"):
    """The batch has ended: there is nothing left to cancel."""


class IdempotencyConflict(DomainError, code="idempotency-conflict"):
    """The same Idempotency-Key came with another body."""


class ModelNotLoaded(DomainError, code="model-not-loaded"):
    """No model version is active."""


class ModelVersionNotFound(DomainError, code="model-version-not-found"):
    """The registry has no such version."""


class ModelCardNotFound(DomainError, code="model-card-not-found"):
    """The version has no model card, or no file `name` in it."""


class ModelRefused(DomainError, code="model-refused"):
    """A version failed its checks; the active one stays. `reason` says which check."""


class ModelNotTried(DomainError, code="model-not-tried"):
    """No worker has said in time whether it can use a version; the active one stays.

    `workers` names those that have not answered.
    """


class ActivePointerLost(DomainError, code="active-pointer-lost"):
    """The pointer to the active version is missing or unreadable, though one was active.

    `version` was activated last; "-" if that is not known.
    """


class ActiveModelChanged(DomainError, code="model-changed"):
    """Another version became active since the caller looked; `version` is active now."""


class ActivationConflict(DomainError, code="activation-conflict"):
    """Another host changed the active version at the same time; `version` is active now."""


class NoEarlierModel(DomainError, code="no-earlier-model"):
    """No other version was active before `version`: a rollback is not possible."""


class DeadLetterNotFound(DomainError, code="dead-letter-not-found"):
    """No job or step that was given up has this id."""


class DeadLetterNotReplayable(DomainError, code="dead-letter-not-replayable"):
    """What the work needs is gone, or the batch still runs or was corrected since."""


class BrokerUnavailable(DomainError, code="broker-unavailable"):
    """The broker, or the event loop that calls it, does not answer: new work cannot be accepted."""


class BrokerNotWritable(BrokerUnavailable, code="broker-not-writable"):
    """The broker answers but cannot store anything: its disk is full or failing."""


class AcceptanceUnknown(BrokerUnavailable, code="acceptance-unknown"):
    """The broker broke off while a job was stored: the job may be carried out, or lost."""


class BrokerFull(BrokerUnavailable, code="broker-full"):
    """The broker has only the memory left that ending the accepted work takes."""


class QueueFull(DomainError, code="queue-full"):
    """Too much work waits already."""


class WebhooksUnavailable(DomainError, code="webhooks-unavailable"):
    """A worker of an earlier release, which records no ends for callbacks, may end the work."""


class TooManyTransfers(DomainError, code="too-many-transfers"):
    """Too many clients send or receive slowly; one more would block other requests."""


class TooManyWaits(DomainError, code="too-many-waits"):
    """Too many requests wait for jobs and batches; polling without `wait` goes on."""


class AuditUnavailable(DomainError, code="audit-unavailable"):
    """The audit log cannot be written: answers that cannot be recorded are not given."""


class AuditNotFlushed(AuditUnavailable, code="audit-unavailable"):
    """The records are in the audit log, but the disk has not confirmed it.

    They are not repeated, and the answers are not given until it has.
    """


class StatisticsPending(DomainError, code="statistics-pending"):
    """The audit log is being read for the first time; the statistics follow."""


class StorageUnavailable(DomainError, code="storage-unavailable"):
    """The disk or object store refuses to keep an upload, or to read what it keeps."""


class ValuationFailed(DomainError, code="valuation-failed"):
    """A worker reported a failure for this valuation, or it was lost on the way to or from one."""


class UnreadableRecord(DomainError, code="unreadable-record"):
    """A stored record cannot be read by this version: a newer one wrote it, or it is damaged."""


class NewerRecord(UnreadableRecord, code="newer-record"):
    """A stored record says that only a newer version can read it."""


def check_schema(written: Any, known: int) -> None:
    """Raise `NewerRecord` if a record needs a reader of a later version than `known`."""
    if int(written) > known:
        raise NewerRecord(written=int(written), known=known)


@contextmanager
def record_errors() -> Iterator[None]:
    """Raise `UnreadableRecord` where the content of a stored record cannot be understood."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        # The text of the exception may contain values of the record.
        raise UnreadableRecord(reason=type(error).__name__) from error


class NotAuthenticated(DomainError, code="not-authenticated"):
    """The call carries no valid API key."""


class NotPermitted(DomainError, code="not-permitted"):
    """The API key lacks the scope that this call needs."""


class DemoOnly(DomainError, code="demo-only"):
    """A caller without a key asks a public demonstration for more than the value of a car."""


class KeyExpired(NotAuthenticated, code="key-expired"):
    """The API key was valid and has expired."""


class KeysUnavailable(DomainError, code="keys-unavailable"):
    """The API keys cannot be read: nobody can be recognised by a key."""


class RateLimited(DomainError, code="rate-limited"):
    """The key sends more than `limit` requests per second; see `retry_after_s`."""


class CarLimitReached(RateLimited, code="car-limit-reached"):
    """The key may have `limit` cars valued per day; `left` are left and `cars` are asked for."""


class OpenJobsLimitReached(RateLimited, code="open-jobs-limit-reached"):
    """The caller has `limit` jobs that have not ended."""


class OpenBatchesLimitReached(RateLimited, code="open-batches-limit-reached"):
    """The caller has `limit` batches that have not ended."""


class StorageLimitReached(RateLimited, code="storage-limit-reached"):
    """The caller's jobs and files hold `used` of `limit` bytes."""


TEMPORARY_ERRORS = (ModelNotLoaded, BrokerUnavailable, AuditUnavailable, StorageUnavailable)
"""Errors of the service's surroundings. Work that was accepted waits for their end."""

TEMPORARY_CODES = frozenset(error.code for error in TEMPORARY_ERRORS)
