"""Jobs and batches as immutable values; `raw` is the JSON object of the answer."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from .valuations import Valuation, read_members

TERMINAL_STATES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
MOMENTS = ("created_at", "started_at", "finished_at")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What jobs and batches have in common."""

    id: str
    state: str
    """`QUEUED`, `RUNNING`, `SUCCEEDED`, `FAILED` or `CANCELLED`."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the state is terminal."""
        return self.state in TERMINAL_STATES


def _moments(answer: Mapping[str, Any]) -> dict[str, datetime | None]:
    return {
        name: None if (text := answer.get(name)) is None else datetime.fromisoformat(text)
        for name in MOMENTS
    }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WorkError:
    """Why a job or batch failed."""

    code: str
    detail: str
    title: str = ""
    faults: tuple[str, ...] = ()
    """Of a file: each of its faults."""

    def __str__(self) -> str:
        return "\n".join([self.detail, *(f"  {each}" for each in self.faults)])

    @classmethod
    def of(cls, answer: Mapping[str, Any] | None) -> Self | None:
        """From the member `error`; None without one."""
        if not answer:
            return None
        faults = tuple(str(each["detail"]) for each in answer.get("errors") or ())
        return read_members(cls, answer, faults=faults)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Progress in cars or rows."""

    done: int
    total: int | None = None
    """None until the file has been read completely."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WorkSummary(Work):
    """A job or batch in a list."""

    kind: str
    """`job` or `batch`."""
    progress: Progress

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From an item of the list."""
        progress = read_members(Progress, answer["progress"])
        return read_members(cls, answer, progress=progress, **_moments(answer))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Job(Work):
    """An asynchronous valuation of one car or of a list of cars."""

    valuations: tuple[Valuation, ...]
    """In the order of the request, once the job has succeeded."""
    error: WorkError | None
    queue_position: int | None = None
    """Open jobs before this one."""
    eta_s: float | None = None
    """Estimated seconds until the end; None if there is nothing to estimate them by."""
    attempts: int = 0
    cancel_requested: bool = False
    progress: Progress | None = None
    raw: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any], offset: int = 0) -> Self:
        """From the service's answer; see `valuations.moved` for `offset`."""
        result, progress = answer.get("result") or [], answer.get("progress")
        return read_members(
            cls,
            answer,
            valuations=tuple(
                Valuation.of(each, offset)
                for each in (result if isinstance(result, list) else [result])
            ),
            error=WorkError.of(answer.get("error")),
            progress=None if progress is None else read_members(Progress, progress),
            raw=answer,
            **_moments(answer),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A remark on a file or on its rows that is no error."""

    code: str
    field: str | None
    column: str | None
    """The file's column of the field."""
    count: int | None
    """Number of rows that it is about, at the end of the batch."""
    examples: tuple[str, ...]
    """Up to three texts of the file."""
    detail: str
    rows: int | None = None
    """First rows that it rests on; None: all that it is about."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return read_members(cls, answer, examples=tuple(answer["examples"]))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FileInput:
    """An uploaded file, and how it was read."""

    sha256: str
    notices: tuple[Notice, ...]
    """What was assumed of the file, and at the end what was ignored or read otherwise, counted."""
    file_name: str = ""
    format: str = ""
    size_bytes: int = 0
    encoding: str | None = None
    delimiter: str | None = None
    decimal: str = ""
    header: tuple[str, ...] = ()
    """Empty until a workbook, Parquet or JSON file has been opened."""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The file's column of each field that it has."""
    unused: tuple[str, ...] = ()
    """Columns that are no field; they are in the results."""
    detected: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What was detected, with `value`, `confidence` and `basis`."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the member `input`."""
        return read_members(
            cls,
            answer,
            notices=tuple(map(Notice.of, answer["notices"])),
            header=tuple(answer.get("header", ())),
            unused=tuple(answer.get("unused", ())),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch(Work):
    """The processing of an uploaded file."""

    outcome: str | None
    """`complete`, `with_errors`, `partial`, `aborted`, `cancelled` or `dry_run`."""
    total: int | None
    """Rows of the file; None until it has been read completely."""
    done: int
    valid: int
    invalid: int
    """Rejected rows."""
    failed: int
    """Rows that were given up."""
    rows_per_second: float | None = None
    eta_s: float | None = None
    cancel_requested: bool = False
    model_version: str = ""
    data_as_of: str | None = None
    """Month of the newest data of the model."""
    data_age_months: int | None = None
    corrects: str | None = None
    """The batch whose rejected rows this one corrects."""
    corrections: tuple[str, ...] = ()
    """The batches whose corrected rows are in the results."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    input: FileInput
    error: WorkError | None
    """Why it ended early."""
    raw: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The notices of the file."""
        return self.input.notices

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return read_members(
            cls,
            {**answer, **answer["counts"]},
            corrections=tuple(answer.get("corrections", ())),
            input=FileInput.of(answer["input"]),
            error=WorkError.of(answer.get("error")),
            raw=answer,
            **_moments(answer),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowError:
    """A violated rule in a row of a file."""

    line: int
    row_key: str | None
    """Its cell of the key column."""
    column: str | None
    value: str | None
    code: str
    message: str
    field: str | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From a line of the error report."""
        return read_members(cls, answer)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FileProgress:
    """Progress of `value_file`, for a callback."""

    phase: str
    """`sending`, `valuing` or `saving`."""
    done: int
    """Bytes of the file, rows, or bytes of the results."""
    total: int | None
    """None if it is not known yet."""
    batch: Batch | None = None
    """While it is valued."""
