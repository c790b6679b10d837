"""The protocol of data frames: a frame is valued as a file, and gets columns with the results."""

import contextlib
import dataclasses
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import BatchFailedError, UnexpectedAnswerError
from .files import Files, Progress
from .steps import Deadline, Steps, Work
from .uploads import Submission

ROW = "carprice_row"
"""Column that numbers the rows, so that each result finds its row."""
KEPT_PREFIX = "carprice_"
"""What the service puts before the name of a result column if the file has one of this name."""
NUMBER_COLUMNS = frozenset(
    {"price_mad", "low_mad", "high_mad", "percentile", "fair_low_mad", "fair_high_mad",
     "difference_mad"}
)  # fmt: skip
RESULT_COLUMNS = (
    "price_mad", "low_mad", "high_mad", "verdict", "percentile", "fair_low_mad", "fair_high_mad",
    "difference_mad", "read_as", "match", "suggestions", "row_notes", "row_status", "row_error",
)  # fmt: skip
"""Columns of results, in their order; some only with asking prices."""
ASKING_COLUMNS = frozenset(
    {"verdict", "percentile", "fair_low_mad", "fair_high_mad", "difference_mad"}
)
MISSING_TYPES = frozenset({"NAType", "NaTType"})
"""Types of pandas for missing values besides NaN."""
Frame = TypeVar("Frame")
Rows = Sequence[Mapping[str, Any]]


class FrameLibrary(Protocol):
    """What is needed of a library of data frames: pandas or polars."""

    def names(self, frame: Any) -> list[Any]:
        """The names of the columns."""
        ...

    def rows(self, frame: Any) -> Iterator[Sequence[Any]]:
        """The rows, as values of Python or numpy."""
        ...

    def with_columns(self, frame: Any, columns: Mapping[str, list[Any]]) -> Any:
        """The frame with further columns, in the same order and with the same index."""
        ...


class Pandas:
    """Frames of pandas."""

    def names(self, frame: Any) -> list[Any]:
        """The names of the columns."""
        return list(frame.columns)

    def rows(self, frame: Any) -> Iterator[Sequence[Any]]:
        """The rows, as values of Python or numpy."""
        return iter(zip(*(frame.iloc[:, place] for place in range(frame.shape[1])), strict=True))

    def with_columns(self, frame: Any, columns: Mapping[str, list[Any]]) -> Any:
        """A copy of the frame with further columns; the index is kept, also a repeated one."""
        import pandas as pd  # noqa: PLC0415 - optional, and there if a frame is given

        made = frame.copy()
        for name, values in columns.items():
            dtype = "float64" if name.removeprefix(KEPT_PREFIX) in NUMBER_COLUMNS else object
            made[name] = pd.Series(values, index=frame.index, dtype=dtype)
        return made


class Polars:
    """Frames of polars."""

    def names(self, frame: Any) -> list[Any]:
        """The names of the columns."""
        return list(frame.columns)

    def rows(self, frame: Any) -> Iterator[Sequence[Any]]:
        """The rows, as values of Python."""
        return iter(frame.iter_rows())

    def with_columns(self, frame: Any, columns: Mapping[str, list[Any]]) -> Any:
        """A frame with further columns."""
        import polars as pl  # noqa: PLC0415 - optional, and there if a frame is given

        return frame.with_columns(
            pl.Series(
                name,
                values,
                dtype=pl.Float64 if name.removeprefix(KEPT_PREFIX) in NUMBER_COLUMNS else pl.String,
            )
            for name, values in columns.items()
        )


def library_of(frame: object) -> FrameLibrary:
    """The library of a frame.

    Raises:
        TypeError: it is no data frame of pandas or polars.
    """
    for kind in type(frame).__mro__:
        name = (kind.__module__.partition(".")[0], kind.__name__)
        if name == ("pandas", "DataFrame"):
            return Pandas()
        if name == ("polars", "DataFrame"):
            return Polars()
    raise TypeError(f"a DataFrame of pandas or polars is needed, not {type(frame).__name__}")


def value_dataframe(
    files: Files,
    frame: Frame,
    submission: Submission,
    timeout: float | None,
    on_progress: Progress | None,
) -> Steps[Frame]:
    """Value each row of a frame; the result is the frame with the columns of the results.

    Args:
        files: the protocol of files.
        frame: of pandas or polars, one car a row.
        submission: its options; the file is made here.
        timeout: total seconds.
        on_progress: called with each state of the batch.

    Raises:
        BatchFailedError: not all rows were processed.
    """
    library, deadline = library_of(frame), Deadline.after(timeout)
    names = checked_names(library.names(frame))
    with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
        file, results = Path(folder, "frame.ndjson"), Path(folder, "results.ndjson")
        left_out = left_out_columns(submission)
        count: int = yield Work(partial(write_rows, names, library.rows(frame), file, left_out))
        if not count:
            empty: Frame = library.with_columns(frame, no_results(names))
            return empty
        sent = dataclasses.replace(submission, file=file, name="frame.ndjson")
        batch = yield from files.submit(sent, deadline)
        ended = yield from files.wait(batch.id, deadline, on_progress)
        if ended.state != "SUCCEEDED":
            raise BatchFailedError(ended)
        yield from files.download(ended.id, "results", results, "ndjson").run(deadline)
        columns = results_of(names, (yield Work(partial(_read_rows, results))), count)
        made: Frame = library.with_columns(frame, columns)
        return made


def _read_rows(results: Path) -> Rows:
    with results.open("rb") as lines:
        return [json.loads(line) for line in lines]


def checked_names(names: Sequence[Any]) -> list[str]:
    """The names of the columns as text.

    Raises:
        ValueError: two are the same, or one is that of the numbers of rows, or of results that
            come beside results.
    """
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        twice = sorted({text for text in texts if texts.count(text) > 1})
        raise ValueError(f"several columns have the same name: {', '.join(twice)}")
    if taken := {ROW, *(KEPT_PREFIX + name for name in RESULT_COLUMNS)}.intersection(texts):
        raise ValueError(f"columns must have other names: {', '.join(sorted(taken))}")
    return texts


def left_out_columns(submission: Submission) -> frozenset[str]:
    """Columns that are not sent: those of earlier results, unless an option names them."""
    named = submission.options.get("columns") or ()
    texts = list(named.values()) if isinstance(named, Mapping) else [str(named)]
    return frozenset(name for name in RESULT_COLUMNS if not any(name in text for text in texts))


def write_rows(
    names: Sequence[str], rows: Iterator[Sequence[Any]], file: Path, left_out: frozenset[str]
) -> int:
    """Write the rows as JSON Lines, with their numbers; returns how many there are."""
    count = 0
    with file.open("w", encoding="utf-8") as target:
        for count, row in enumerate(rows, start=1):
            record: dict[str, Any] = {ROW: count}
            for name, value in zip(names, row, strict=True):
                if name not in left_out:
                    # A missing value is written too: it names the column.
                    record[name] = plain_value(value)
            target.write(json.dumps(record, ensure_ascii=True) + "\n")
    return count


def plain_value(value: Any) -> Any:
    """A cell as a value of JSON; None for a missing one.

    A whole float is written as an integer: a column of integers with gaps is one of floats. What
    JSON does not have is written as text, so that the service names it.
    """
    if callable(item := getattr(value, "item", None)):
        with contextlib.suppress(TypeError, ValueError):
            value = item()
    if isinstance(value, str | bool | int):
        return value
    if value is None or type(value).__name__ in MISSING_TYPES:
        return None
    if isinstance(value, float | Decimal):
        if math.isnan(value):
            return None
        if math.isfinite(value):
            return int(value) if value == int(value) else float(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


def no_results(names: Sequence[str]) -> dict[str, list[Any]]:
    """The columns of the results of a frame without rows."""
    return {_free(name, names): [] for name in RESULT_COLUMNS if name not in ASKING_COLUMNS}


def results_of(names: Sequence[str], rows: Rows, count: int) -> dict[str, list[Any]]:
    """The columns of the results in the order of the frame.

    Args:
        names: of the columns of the frame.
        rows: of the results.
        count: number of rows of the frame.

    Raises:
        UnexpectedAnswerError: the results are not those of the rows.
    """
    by_number = {int(row[ROW]): row for row in rows}
    if len(rows) != count or by_number.keys() != set(range(1, count + 1)):
        raise UnexpectedAnswerError(f"{len(rows)} results for {count} rows, or not of these rows")
    ordered = [by_number[number] for number in range(1, count + 1)]
    columns = {}
    for name in RESULT_COLUMNS:
        # The service's name, if a column of this name was sent.
        given = KEPT_PREFIX + name if KEPT_PREFIX + name in ordered[0] else name
        if given in ordered[0]:
            columns[_free(name, names)] = [row.get(given) for row in ordered]
    return columns


def _free(name: str, names: Sequence[str]) -> str:
    """The name of a result column beside the columns of the frame."""
    return KEPT_PREFIX + name if name in names else name
