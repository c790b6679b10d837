"""Calls about files: upload, batches, their results and rows."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar, Unpack

from ..handles import SubmittedFile
from ..protocol.downloads import Form
from ..protocol.files import FileListener, Files, Progress
from ..protocol.frames import value_dataframe
from ..protocol.rows import CorrectedCells, Rows, RowSort, RowsQuery, RowStatus, VerdictPosition
from ..protocol.steps import Deadline
from ..protocol.uploads import Submission, UploadOptions
from ..rows import Row, RowsPage
from ..work import Batch, RowError
from .blocking import BlockingCalls

Frame = TypeVar("Frame")


class FileCalls(BlockingCalls):
    """Calls about files and batches."""

    _files: Files
    _rows: Rows

    def value_file(
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
        """Upload a file of cars, wait for its end and download the results.

        Args:
            source: streamed; never read into memory as a whole.
            target: where the results go; written when they are complete.
            form: format of the results; by the end of the name of `target` if None.
            rejected: where the rejected rows go, to be corrected.
            on_progress: called while the file is sent, valued and downloaded.
            callback_url: where the service reports the end by a webhook.
            idempotency_key: an upload with the same key gives the same batch.
            timeout: total seconds.
            options: how the file is read; what is left out is detected.

        Raises:
            BatchFailedError: not all rows were processed.
        """
        submission = Submission(
            file=Path(source), key=idempotency_key, callback_url=callback_url, options=options
        )
        return self._run(
            self._files.value_file(
                submission,
                Path(target),
                timeout,
                form=form,
                rejected=None if rejected is None else Path(rejected),
                on_progress=on_progress,
            )
        )

    def value_dataframe(
        self,
        frame: Frame,
        *,
        on_progress: Progress | None = None,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> Frame:
        """Value each row of a DataFrame of pandas or polars.

        The result is the frame with the columns of the results (`price_mad`, `low_mad`,
        `high_mad`, …, `row_status`, `row_error`), in the same order and with the same index. A
        row that cannot be valued has no price and says why in `row_error`.
        """
        made = Submission(file=Path(), options=options)
        return self._run(value_dataframe(self._files, frame, made, timeout, on_progress))

    def submit_file(
        self,
        source: Path | str,
        *,
        name: str | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> SubmittedFile:
        """Upload a file of cars; returns when the service has stored it.

        Args:
            source: as for `value_file`, whose other arguments are the same.
            name: sent instead of the name of `source`.
            callback_url: see there.
            idempotency_key: see there.
            on_sent: called with the size of each sent block, bytes; with 0 at the beginning, also
                of a file that is sent again.
            timeout: see there.
            options: see there.
        """
        submission = Submission(
            file=Path(source), name=name, key=idempotency_key, callback_url=callback_url,
            on_sent=on_sent, options=options,
        )  # fmt: skip
        return self._submit(submission, timeout)

    def correct_rows(
        self,
        batch_id: str,
        source: Path | str,
        *,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> SubmittedFile:
        """Send corrected rows of a batch back to it.

        Args:
            batch_id: a batch that has ended.
            source: what `download_rejected` wrote, with corrected cells.
            callback_url: as for `value_file`.
            idempotency_key: as for `value_file`.
            timeout: total seconds.
        """
        submission = Submission(
            file=Path(source), key=idempotency_key, corrects=batch_id, callback_url=callback_url
        )
        return self._submit(submission, timeout)

    def correct_cells(
        self,
        batch_id: str,
        cells: CorrectedCells,
        *,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> SubmittedFile:
        """Correct cells of rejected rows of a batch; their other cells stay as they are.

        Args:
            batch_id: a batch that has ended.
            cells: the new texts by line (`Row.line`) and column, like `{3: {"Année": "2016"}}`.
            callback_url: as for `value_file`.
            idempotency_key: as for `value_file`.
            timeout: total seconds.

        Raises:
            ValueError: no rejected row is on a line, or the file has no column of a name.
        """
        submission = Submission(
            file=Path(), key=idempotency_key, corrects=batch_id, callback_url=callback_url
        )
        return SubmittedFile(self, self._run(self._rows.correct_cells(submission, cells, timeout)))

    def _submit(self, submission: Submission, timeout: float | None) -> SubmittedFile:
        batch = self._run(self._files.submit(submission, Deadline.after(timeout)))
        return SubmittedFile(self, batch)

    def find_batch(self, idempotency_key: str, *, timeout: float | None = None) -> Batch | None:
        """The batch accepted with a key within the last 24 hours; None if there is none."""
        return self._run(self._files.find(idempotency_key, self._limit(timeout)))

    def batch(self, batch_id: str, *, timeout: float | None = None) -> Batch:
        """Read a batch."""
        return self._run(self._files.read(batch_id, Deadline.after(self._limit(timeout))))

    def wait_batch(
        self,
        batch_id: str,
        *,
        on_progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Batch:
        """Wait for the end of a batch, also through a restart of the service.

        Args:
            batch_id: id of the batch.
            on_progress: called with its state each second, and at the end.
            timeout: total seconds.

        Raises:
            WaitTimeoutError: it has not ended in time; it goes on.
        """
        return self._run(self._files.wait(batch_id, Deadline.after(timeout), on_progress))

    def cancel_batch(self, batch_id: str, *, timeout: float | None = None) -> Batch | None:
        """Cancel an open batch and return it; as `cancel_job`."""
        return self._run(self._files.cancel(batch_id, self._limit(timeout)))

    def delete_batch(self, batch_id: str, *, timeout: float | None = None) -> None:
        """Delete a batch that has ended, with its file and results."""
        self._run(self._files.delete(batch_id, self._limit(timeout)))

    def download_results(
        self,
        batch_id: str,
        target: Path | str,
        *,
        form: Form = "csv",
        is_localized: bool = False,
        timeout: float | None = None,
    ) -> Path:
        """Download the results; resumes an interrupted download.

        Args:
            batch_id: a batch that has ended.
            target: written when the download is complete.
            form: format of the results.
            is_localized: whether the added columns have names in the language of the batch.
            timeout: total seconds.

        Raises:
            ConflictError: the batch has not ended.
        """
        download = self._files.download(
            batch_id, "results", Path(target), form, is_localized=is_localized
        )
        return self._run(download.run(Deadline.after(timeout)))

    def download_rejected(
        self,
        batch_id: str,
        target: Path | str,
        *,
        form: Form = "csv",
        timeout: float | None = None,
    ) -> Path:
        """Download the rejected rows with the reasons, as `csv`, `excel-fr` or `xlsx`."""
        download = self._files.download(batch_id, "rejected", Path(target), form)
        return self._run(download.run(Deadline.after(timeout)))

    def batch_errors(
        self, batch_id: str, *, timeout: float | None = None
    ) -> Generator[RowError, None, None]:
        """The entries of the error report, in the order of the file."""
        return self._iterate(self._files.errors(batch_id, timeout))

    def retry_batch(self, batch_id: str, *, timeout: float | None = None) -> SubmittedFile:
        """Have the rows of an ended batch valued that were not; it runs on under its id.

        Args:
            batch_id: was cancelled, has failed, or has rows that were given up (`failed`); one that
                runs, or in which every row was handled, is returned as it is.
            timeout: total seconds; that of the client if None.

        Raises:
            ConflictError: its file is refused or not kept any more, or rows are being corrected.
        """
        return SubmittedFile(self, self._run(self._files.retry(batch_id, self._limit(timeout))))

    def batch_rows(
        self,
        batch_id: str,
        *,
        sort: RowSort = "line",
        verdict: VerdictPosition | None = None,
        status: RowStatus | None = None,
        brand: str | None = None,
        timeout: float | None = None,
    ) -> Generator[Row, None, None]:
        """The rows of an ended batch with their results and errors; read page by page.

        Args:
            batch_id: a batch that has ended.
            sort: order; with a minus, the largest value first.
            verdict: only rows with this verdict.
            status: only rows with this status.
            brand: only rows of this brand; empty: rows without one.
            timeout: total seconds.

        Raises:
            ConflictError: the batch has not ended.
            InvalidInputError: it has more than two million rows.
        """
        query = RowsQuery(sort=sort, verdict=verdict, status=status, brand=brand)
        return self._iterate(self._rows.all(batch_id, query, timeout))

    def rows_page(
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
        """A page of the rows of an ended batch, and what all its rows add up to.

        Args:
            batch_id: as for `batch_rows`, whose other arguments are the same.
            page: from 1; one behind the last has no rows.
            sort: see there.
            verdict: see there.
            status: see there.
            brand: see there.
            timeout: total seconds; that of the client if None.
        """
        query = RowsQuery(sort=sort, verdict=verdict, status=status, brand=brand)
        return self._run(self._rows.page(batch_id, query, page, self._limit(timeout)))
