"""A batch: a file of cars that is valued row by row, in chunks, in the background."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Self

from shared.domain.errors import FieldProblem, check_schema
from shared.domain.files.notes import NO_ASKING_PRICES, AskingSides, NoteCount
from shared.domain.ids import BatchId, CallerId
from shared.domain.job import Callback, JobState
from shared.domain.table import Dialect, known_members


class BatchOutcome(StrEnum):
    """How a batch ended, in more detail than its state."""

    COMPLETE = "complete"
    """Every row was valued."""
    WITH_ERRORS = "with_errors"
    """Every row was handled; some were rejected for their content."""
    PARTIAL = "partial"
    """Some valid rows could not be valued."""
    ABORTED = "aborted"
    """Ended early: at the first rejected row, as requested, or where the file is unreadable."""
    CANCELLED = "cancelled"
    DRY_RUN = "dry_run"
    """Every row was validated and none valued, as requested."""


class OnError(StrEnum):
    """What a rejected row does to its batch."""

    CONTINUE = "continue"
    ABORT = "abort"


class RowStatus(StrEnum):
    """The result of one row of the file."""

    VALUED = "valued"
    VALID = "valid"
    """Would have been valued; the batch is a dry run."""
    REJECTED = "rejected"
    """Breaks a rule, which the row's errors name."""
    FAILED = "failed"
    """Could not be valued after several attempts."""


class ResultTable(StrEnum):
    """A result of a batch that is a table."""

    RESULTS = "results"
    """Every row."""
    REJECTED = "rejected"
    """The rejected rows."""


class ExportFormat(StrEnum):
    """Format of a result table."""

    CSV = "csv"
    """UTF-8, line feed, and the delimiter of the file unless another is asked for."""
    EXCEL_FR = "excel-fr"
    """CSV for a French Excel: byte order mark, semicolons, decimal commas."""
    NDJSON = "ndjson"
    PARQUET = "parquet"
    XLSX = "xlsx"
    ROW_INDEX = "rows"
    """`shared.blobs.row_index`: what pages of rows are read by; no caller downloads it."""


PRICE_COLUMNS = ("price_mad", "low_mad", "high_mad")
NAME_COLUMNS = ("read_as", "match", "suggestions")
"""Brand and model as understood, `Match`, and up to three names that may be meant."""

STATUS_COLUMNS = ("row_notes", "row_status", "row_error")
RESULT_COLUMNS = (*PRICE_COLUMNS, *NAME_COLUMNS, *STATUS_COLUMNS)
"""The columns of a result after the file's own."""

VERDICT_COLUMNS = ("verdict", "percentile", "fair_low_mad", "fair_high_mad", "difference_mad")
"""The columns after the prices, if the file has asking prices."""

NUMBER_COLUMNS = frozenset({*PRICE_COLUMNS, *VERDICT_COLUMNS[1:]})
"""The added result columns that hold numbers; the others hold texts."""

REJECTED_COLUMNS = ("row_line", "row_error")
"""The columns of the rejected rows after the file's own."""

STALE_COLUMNS = (REJECTED_COLUMNS, (*NAME_COLUMNS, *STATUS_COLUMNS), STATUS_COLUMNS[1:])
"""Last columns of an earlier result: ignored when a corrected file is uploaded again."""


LATER_OPTIONS = ("header_row", "units")
"""Options that readers of schema 2 would ignore; left out of the manifest if they say nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BatchOptions:
    """The caller's options."""

    dry_run: bool = False
    on_error: OnError = OnError.CONTINUE
    key_column: str | None = None
    """Header of the column that identifies a row in the error report."""
    encoding: str | None = None
    """None: detected. The same holds for `delimiter` and `decimal`."""
    delimiter: str | None = None
    decimal: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    """Pairs of a field and the header (or `#3`, the position) of its column; "": it has none."""
    header: bool | None = None
    """Whether the file has a header row; None: detected."""
    header_row: int | None = None
    """Line of a text, or row of a sheet, that is the header, from 1; None: detected."""
    units: tuple[tuple[str, str], ...] = ()
    """Pairs of a field and the unit of its column (`shared.tabular.columns.given_units`)."""
    constants: tuple[tuple[str, str], ...] = ()
    """Pairs of a field and the text that holds for all rows, as a cell would state it."""
    sheet: str | None = None
    """Name of the sheet of a workbook, or its number from 1; None: chosen by its columns."""
    language: str = "fr"
    """Language of the reasons in result files: `fr`, `ar` or `en`."""
    expected_header: tuple[str, ...] = ()
    """Header of a file of corrected rows, whose columns need no other meaning; empty otherwise."""

    any_row: bool = False
    """Of corrections: whether they may replace rows that are not rejected."""

    @property
    def given_headers(self) -> tuple[str, ...]:
        """Column names that the file must have, or that the caller names."""
        return self.expected_header or tuple(column for _, column in self.columns)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready members; the inverse of `from_json`."""
        members = dataclasses.asdict(self)
        unused = [name for name in LATER_OPTIONS if not members[name]]
        return {name: value for name, value in members.items() if name not in unused}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild the options from `to_json`'s members; those of a newer version are ignored."""
        given = known_members(cls, members)
        names = ("columns", "constants", "units")
        pairs = {name: tuple(map(tuple, given.get(name, ()))) for name in names}
        expected = tuple(given.get("expected_header", ()))
        return cls(
            **given | {"on_error": OnError(given["on_error"]), "expected_header": expected, **pairs}
        )


MANIFEST_SCHEMA = 5
"""Version that a reader of the manifest must know: 1, which is not stated because workers of the
first release accept no further members, 2 for files with columns of units, or 5 for options that
name the row of the header, or units. These are numbers of `shared.redis.workers.PROTOCOL`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BatchManifest:
    """The accepted batch: durable before the caller learns its id, and never changed."""

    id: BatchId
    caller: CallerId
    accepted_at: float
    """Unix time, seconds."""
    model_version: str
    """The version that values all rows, even if another one is activated meanwhile."""
    options: BatchOptions
    dialect: Dialect
    sha256: str
    """Digest of the file as it was sent, before decompression."""
    size_bytes: int
    """Size of the stored, decompressed file."""
    file_name: str = ""
    """The caller's name of the file, without folders; empty if unknown."""
    result_delimiter: str = ","
    """Delimiter of the stored results: that of a CSV file, otherwise the comma."""
    corrects: BatchId | None = None
    """The batch whose rejected rows the file corrects; None for a file of its own."""
    callback: Callback | None = None
    """Where its end is reported."""
    trace: str = ""
    """`traceparent` of the request; empty if it is not traced."""

    @property
    def schema(self) -> int:
        """Version that a reader must know; also the `WorkerRegistry.protocol` that it takes."""
        if any(getattr(self.options, name) for name in LATER_OPTIONS):
            return MANIFEST_SCHEMA
        return 2 if self.dialect.has_later_members else 1

    def to_json(self) -> dict[str, Any]:
        """JSON-ready members; the inverse of `from_json`."""
        options = self.options.to_json()
        members = dataclasses.asdict(self) | {"dialect": self.dialect.to_json(), "options": options}
        if self.callback is None:
            del members["callback"]
        else:
            members["callback"] = self.callback.to_wire()
        if not self.trace:
            del members["trace"]
        # Workers of the first release accept no further members.
        if not self.options.any_row:
            del members["options"]["any_row"]
        return members if self.schema == 1 else members | {"schema": self.schema}

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Self:
        """Rebuild the manifest from `to_json`'s members; those of a newer version are ignored.

        Raises:
            NewerRecord: it can only be read by a newer version.
        """
        check_schema(members.get("schema", 1), MANIFEST_SCHEMA)
        options = BatchOptions.from_json(members["options"])
        dialect = Dialect.from_json(members["dialect"])
        reported = members.get("callback")
        callback = None if reported is None else Callback.from_wire(reported)
        parsed = {"options": options, "dialect": dialect, "callback": callback}
        return cls(**known_members(cls, members) | parsed)


@dataclasses.dataclass(frozen=True, slots=True)
class RowCounts:
    """Numbers of rows by result."""

    valid: int = 0
    """Valued, or valid in a dry run."""
    invalid: int = 0
    """Rejected."""
    failed: int = 0
    """Given up."""

    def __iter__(self) -> Iterator[int]:
        """Valid, invalid, failed."""
        return iter((self.valid, self.invalid, self.failed))

    def __add__(self, other: "RowCounts") -> "RowCounts":
        """The numbers of both together."""
        return RowCounts(*map(sum, zip(self, other, strict=True)))

    @property
    def done(self) -> int:
        """Rows with a result."""
        return sum(self)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BatchProgress:
    """State and counters of a batch."""

    state: JobState = JobState.QUEUED
    outcome: BatchOutcome | None = None
    counts: RowCounts = RowCounts()
    total: int | None = None
    """Rows of the file; None until the whole file is split."""
    started_at: float | None = None
    """Unix time, seconds."""
    finished_at: float | None = None
    cancel_requested: bool = False
    error: str | None = None
    """Code of the error that ended the batch early."""
    notes: tuple[NoteCount, ...] = ()
    """Of the valid rows; empty until the end."""
    asking_sides: AskingSides = NO_ASKING_PRICES
    """Zero until the end."""
    corrections: tuple[BatchId, ...] = ()
    """The batches whose corrected rows are in the results, oldest first."""
    corrected_at: float | None = None
    """Unix time of the last of them."""

    ahead: int | None = None
    """Unfinished batches that were accepted before, while this one waits; not stored."""

    @property
    def revision(self) -> str:
        """Identifies the content of the result files; empty before the first correction."""
        return self.corrections[-1] if self.corrections else ""

    def rows_per_second(self, now: float) -> float | None:
        """Mean rows per second since the start; None before the first row."""
        if self.started_at is None or not self.counts.done:
            return None
        elapsed_s = max((self.finished_at or now) - self.started_at, 0.001)
        return self.counts.done / elapsed_s

    def eta_s(self, now: float) -> float | None:
        """Expected time to the end, seconds; None while unknown, 0 at the end."""
        if self.state.is_terminal:
            return 0.0
        speed = self.rows_per_second(now)
        if speed is None or self.total is None:
            return None
        return (self.total - self.counts.done) / speed

    def to_json(self) -> dict[str, Any]:
        """JSON-ready members; the inverse of `from_json`."""
        plain = {"notes": list(map(list, self.notes)), "asking_sides": list(self.asking_sides)}
        members = dataclasses.asdict(self) | plain
        del members["ahead"]
        return members

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Self:
        """Rebuild the progress from `to_json`'s members; those of a newer version are ignored."""
        outcome = BatchOutcome(members["outcome"]) if members["outcome"] else None
        parsed = {
            "state": JobState(members["state"]),
            "outcome": outcome,
            "counts": RowCounts(**known_members(RowCounts, members["counts"])),
            "notes": tuple(map(NoteCount.from_list, members.get("notes", ()))),
            "asking_sides": AskingSides(*members.get("asking_sides", ())[:3]),
            "corrections": tuple(members.get("corrections", ())),
        }
        return cls(**known_members(cls, members) | parsed)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """An accepted batch and its progress."""

    manifest: BatchManifest
    progress: BatchProgress
    refusal: tuple[FieldProblem, ...] = ()
    """Why its workbook or Parquet file cannot be read; empty if it can."""


def result_header(header: tuple[str, ...], *, verdicts: bool = False) -> list[str]:
    """Header of the results: the file's own columns, then the added ones.

    Args:
        header: of the file.
        verdicts: whether the file has asking prices.

    An added name that the file uses itself gets a prefix, so that all names are unique.

    >>> result_header(("id", "price_mad"))[:4]
    ['id', 'price_mad', 'carprice_price_mad', 'low_mad']
    """
    own = source_columns(header)
    taken = {header[index] for index in own}
    ours = []
    between = VERDICT_COLUMNS if verdicts else ()
    for column in (*PRICE_COLUMNS, *between, *NAME_COLUMNS, *STATUS_COLUMNS):
        name = column
        while name in taken:
            name = f"carprice_{name}"
        ours.append(name)
    return [header[index] for index in own] + ours


def number_columns(header: Sequence[str], own: int) -> list[int]:
    """Indexes of the added columns of a result table that hold numbers.

    Args:
        header: of the table.
        own: number of its columns that are the file's.

    >>> number_columns(["id", "price_mad", "carprice_price_mad", "low_mad", "row_status"], 2)
    [2, 3]
    """
    return [
        index
        for index, name in enumerate(header)
        if index >= own and name.split("carprice_")[-1] in NUMBER_COLUMNS
    ]


def source_columns(header: tuple[str, ...]) -> list[int]:
    """Indexes of the file's columns that its result files repeat.

    >>> source_columns(("id", "row_line", "row_error")), source_columns(("row_status", "id"))
    ([0], [0, 1])
    """
    stale = next((len(ours) for ours in STALE_COLUMNS if header[-len(ours) :] == ours), 0)
    return list(range(len(header) - stale))
