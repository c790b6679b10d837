"""Calls about files for event loops; `files` describes the arguments."""

# `timeout` is the total time of a call, with pauses and repetitions.
# ruff: noqa: ASYNC109

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeVar, Unpack

from ..handles import AsyncSubmittedFile
from ..protocol.downloads import Form
from ..protocol.files import FileListener, Files, Progress
from ..protocol.frames import value_dataframe
from ..protocol.rows import CorrectedCells, Rows, RowSort, RowsQuery, RowStatus, VerdictPosition
from ..protocol.steps import Deadline
from ..protocol.uploads import Submission, UploadOptions
from ..rows import Row, RowsPage
from ..work import Batch, RowError
from .asynchronous import AsyncCalls

Frame = TypeVar("Frame")


class AsyncFileCalls(AsyncCalls):
    """Calls about files and batches."""

    _files: Files
    _rows: Rows

    async def value_file(
        self,
        source: Path | str,
        target: Path | str,
        *,
        form: Form | None = None,
        rejected: Path | str | None = None,
        on_progress: FileListener | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> Batch:
        """Upload a file of cars, wait for its end and download the results."""
        submission = Submission(
            file=Path(source), key=idempotency_key, callback_url=callback_url, options=options
        )
        return await self._run(
            self._files.value_file(
                submission,
                Path(target),
                timeout,
                form=form,
                rejected=None if rejected is None else Path(rejected),
                on_progress=on_progress,
            )
        )

    async def value_dataframe(
        self,
        frame: Frame,
        *,
        on_progress: Progress | None = None,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> Frame:
        """Value each row of a DataFrame of pandas or polars."""
        made = Submission(file=Path(), options=options)
        return await self._run(value_dataframe(self._files, frame, made, timeout, on_progress))

    async def submit_file(
        self,
        source: Path | str,
        *,
        name: str | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> AsyncSubmittedFile:
        """Upload a file of cars; returns when the service has stored it."""
        submission = Submission(
            file=Path(source), name=name, key=idempotency_key, callback_url=callback_url,
            on_sent=on_sent, options=options,
        )  # fmt: skip
        return await self._submit(submission, timeout)

    async def correct_rows(
        self,
        batch_id: str,
        source: Path | str,
        *,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> AsyncSubmittedFile:
        """Send corrected rows of a batch back to it."""
        submission = Submission(
            file=Path(source), key=idempotency_key, corrects=batch_id, callback_url=callback_url
        )
        return await self._submit(submission, timeout)

    async def correct_cells(
        self,
        batch_id: str,
        cells: CorrectedCells,
        *,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> AsyncSubmittedFile:
        """Correct cells of rejected rows of a batch; their other cells stay as they are."""
        submission = Submission(
            file=Path(), key=idempotency_key, corrects=batch_id, callback_url=callback_url
        )
        return AsyncSubmittedFile(
            self, await self._run(self._rows.correct_cells(submission, cells, timeout))
        )

    async def _submit(self, submission: Submission, timeout: float | None) -> AsyncSubmittedFile:
        batch = await self._run(self._files.submit(submission, Deadline.after(timeout)))
        return AsyncSubmittedFile(self, batch)

    async def find_batch(
        self, idempotency_key: str, *, timeout: float | None = None
    ) -> Batch | None:
        """The batch accepted with a key within the last 24 hours; None if there is none."""
        return await self._run(self._files.find(idempotency_key, self._limit(timeout)))

    async def batch(self, batch_id: str, *, timeout: float | None = None) -> Batch:
        """Read a batch."""
        return await self._run(self._files.read(batch_id, Deadline.after(self._limit(timeout))))

    async def wait_batch(
        self,
        batch_id: str,
        *,
        on_progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Batch:
        """Wait for the end of a batch, also through a restart of the service."""
        return await self._run(self._files.wait(batch_id, Deadline.after(timeout), on_progress))

    async def cancel_batch(self, batch_id: str, *, timeout: float | None = None) -> Batch | None:
        """Cancel an open batch and return it; as `cancel_job`."""
        return await self._run(self._files.cancel(batch_id, self._limit(timeout)))

    async def delete_batch(self, batch_id: str, *, timeout: float | None = None) -> None:
        """Delete a batch that has ended, with its file and results."""
        await self._run(self._files.delete(batch_id, self._limit(timeout)))

    async def download_results(
        self,
        batch_id: str,
        target: Path | str,
        *,
        form: Form = "csv",
        is_localized: bool = False,
        timeout: float | None = None,
    ) -> Path:
        """Download the results; resumes an interrupted download."""
        download = self._files.download(
            batch_id, "results", Path(target), form, is_localized=is_localized
        )
        return await self._run(download.run(Deadline.after(timeout)))

    async def download_rejected(
        self,
        batch_id: str,
        target: Path | str,
        *,
        form: Form = "csv",
        timeout: float | None = None,
    ) -> Path:
        """Download the rejected rows with the reasons, as `csv`, `excel-fr` or `xlsx`."""
        download = self._files.download(batch_id, "rejected", Path(target), form)
        return await self._run(download.run(Deadline.after(timeout)))

    def batch_errors(
        self, batch_id: str, *, timeout: float | None = None
    ) -> AsyncGenerator[RowError, None]:
        """The entries of the error report, in the order of the file."""
        return self._iterate(self._files.errors(batch_id, timeout))

    async def retry_batch(
        self, batch_id: str, *, timeout: float | None = None
    ) -> AsyncSubmittedFile:
        """Have the rows of an ended batch valued that were not; it runs on under its id."""
        return AsyncSubmittedFile(
            self, await self._run(self._files.retry(batch_id, self._limit(timeout)))
        )

    def batch_rows(
        self,
        batch_id: str,
        *,
        sort: RowSort = "line",
        verdict: VerdictPosition | None = None,
        status: RowStatus | None = None,
        brand: str | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[Row, None]:
        """The rows of an ended batch with their results and errors; read page by page."""
        query = RowsQuery(sort=sort, verdict=verdict, status=status, brand=brand)
        return self._iterate(self._rows.all(batch_id, query, timeout))

    async def rows_page(
        self,
        batch_id: str,
        *,
        page: int = 1,
        sort: RowSort = "line",
        verdict: VerdictPosition | None = None,
        status: RowStatus | None = None,
        brand: str | None = None,
        timeout: float | None = None,
    ) -> RowsPage:
        """A page of the rows of an ended batch, and what all its rows add up to."""
        query = RowsQuery(sort=sort, verdict=verdict, status=status, brand=brand)
        return await self._run(self._rows.page(batch_id, query, page, self._limit(timeout)))
