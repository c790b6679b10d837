"""Domain errors; `api.http.problems` maps each to its HTTP status.

Every class has a problem `code`; `shared.messages` has its French and English texts under that
code, with gaps for the error's `params`.
"""

from typing import Any, ClassVar


class DomainError(Exception):
    """Base of all expected failures. `params` fill the gaps of the texts."""

    code: ClassVar[str] = "internal-error"

    def __init__(self, **params: Any) -> None:
        self.params = params
        super().__init__(self.code, params)

    def __str__(self) -> str:
        """The code and the parameters, for logs."""
        details = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{self.code}({details})"


class InvalidInput(DomainError):
    """The request's content breaks a rule; `problems` lists each place and why."""

    code = "invalid-input"

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


class UnreadableUpload(InvalidInput):
    """The uploaded file cannot be read as a table of cars; `problems` say where and why."""

    code = "unreadable-upload"


class ValuationNotFound(DomainError):
    """This caller was given no valuation with this id."""

    code = "valuation-not-found"


class ValuationExpired(DomainError):
    """The valuation is too old for a sale to be reported."""

    code = "valuation-expired"


class JobNotFound(DomainError):
    """No job of this caller has this id."""

    code = "job-not-found"


class JobExpired(DomainError):
    """The job existed; its retention time is over."""

    code = "job-expired"


class JobAlreadyEnded(DomainError):
    """The job has ended: there is nothing left to cancel."""

    code = "job-already-ended"


class BatchNotFound(DomainError):
    """No batch of this caller has this id."""

    code = "batch-not-found"


class BatchExpired(DomainError):
    """The batch existed; its retention time is over and its files are gone."""

    code = "batch-expired"


class ResultNotReady(DomainError):
    """The batch is still running."""

    code = "result-not-ready"


class PartialResultIsCsv(ResultNotReady):
    """The batch is running: its first rows are available as plain CSV only."""

    code = "first-rows-are-csv"


class ExportNotReady(ResultNotReady):
    """The result exists; its file in the format `form` is being written."""

    code = "form-not-ready"


class UploadTooLarge(DomainError):
    """The file has more than `maximum` bytes, as sent or decompressed."""

    code = "upload-too-large"


class DecompressionBomb(DomainError):
    """The file unpacks to more than `ratio` times its size, as only decompression bombs do."""

    code = "upload-overpacked"


class UnsupportedUpload(DomainError):
    """The upload is of a kind that is not read: `given` instead of `expected`."""

    code = "unsupported-upload"


class BatchAlreadyEnded(DomainError):
    """The batch has ended: there is nothing left to cancel."""

    code = "batch-already-ended"


class IdempotencyConflict(DomainError):
    """The same Idempotency-Key came with another body."""

    code = "idempotency-conflict"


class ModelNotLoaded(DomainError):
    """No model version is active."""

    code = "model-not-loaded"


class ModelVersionNotFound(DomainError):
    """The registry has no such version."""

    code = "model-version-not-found"


class ModelCardNotFound(DomainError):
    """The version has no model card, or no file `name` in it."""

    code = "model-card-not-found"


class ModelRefused(DomainError):
    """A version failed its checks; the active one stays. `reason` says which check."""

    code = "model-refused"


class ActiveModelChanged(DomainError):
    """Another version became active since the caller looked; `version` is active now."""

    code = "model-changed"


class NoEarlierModel(DomainError):
    """No other version was active before `version`: a rollback is not possible."""

    code = "no-earlier-model"


class BrokerUnavailable(DomainError):
    """The broker does not answer: new work cannot be accepted."""

    code = "broker-unavailable"


class QueueFull(DomainError):
    """Too much work waits already."""

    code = "queue-full"


class TooManyTransfers(DomainError):
    """Too many clients send or receive slowly; one more would block other requests."""

    code = "too-many-transfers"


class AuditUnavailable(DomainError):
    """The audit log cannot be written: answers that cannot be recorded are not given."""

    code = "audit-unavailable"


class StorageUnavailable(DomainError):
    """The disk or object store refuses to keep an upload, or to read what it keeps."""

    code = "storage-unavailable"


class ValuationFailed(DomainError):
    """A worker reported a failure for this valuation."""

    code = "valuation-failed"


class NotAuthenticated(DomainError):
    """The call carries no valid API key."""

    code = "not-authenticated"


class NotPermitted(DomainError):
    """The API key lacks the scope that this call needs."""

    code = "not-permitted"
