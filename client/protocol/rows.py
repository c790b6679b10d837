"""The protocol of the rows of a batch: pages, and corrections of single cells."""

import csv
import dataclasses
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from ..errors import ConflictError
from ..rows import RowsPage
from ..work import Batch
from .cars import path_part
from .downloads import EXPORT_TIMEOUT_S, NOT_READY, Download
from .exchange import Exchange
from .files import Files
from .repetition import pause
from .steps import Deadline, Give, Request, Steps, Work
from .uploads import Submission

RowSort: TypeAlias = Literal[
    "line", "-line", "price", "-price", "brand", "-brand", "difference", "-difference"
]
"""Order of rows; with a minus, the largest value first."""
RowStatus: TypeAlias = Literal["valued", "valid", "rejected", "failed"]
VerdictPosition: TypeAlias = Literal["below_market", "fair", "above_market", "uncertain"]
CorrectedCells: TypeAlias = Mapping[int, Mapping[str, str]]
"""The new text of each corrected cell, by the line of its row and its column."""
LINE_COLUMN = -2
"""Place of the column of the rejected rows that says which row of the batch each one is."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowsQuery:
    """Which rows of a batch are wanted, and in which order."""

    sort: RowSort = "line"
    verdict: VerdictPosition | None = None
    status: RowStatus | None = None
    brand: str | None = None
    """As `read_as` has it; case and accents do not matter. Empty: rows without a brand."""

    def params(self, page: int) -> dict[str, str]:
        """As query parameters."""
        given = dataclasses.asdict(self)
        wanted = {name: value for name, value in given.items() if value is not None}
        return wanted | {"page": str(page)}


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """The protocol of one service; each method gives the steps of a call."""

    exchange: Exchange

    def page(
        self, batch_id: str, query: RowsQuery, page: int, timeout: float | None
    ) -> Steps[RowsPage]:
        """Read a page of the rows; the first one waits until the service has an index of them."""
        return (yield from self._page(batch_id, query, page, Deadline.after(timeout)))

    def _page(
        self, batch_id: str, query: RowsQuery, page: int, deadline: Deadline
    ) -> Steps[RowsPage]:
        path = f"/batches/{path_part(batch_id)}/rows"
        request = Request(method="GET", path=path, params=query.params(page))
        index_deadline = Deadline.after(min(EXPORT_TIMEOUT_S, deadline.remaining_s))
        attempt = 0
        while True:
            try:
                answer = yield from self.exchange.call(request, deadline)
            except ConflictError as error:
                if error.code != NOT_READY:
                    raise
                yield from pause(error, attempt, index_deadline)
                attempt += 1
            else:
                return answer.read(RowsPage.of)

    def all(self, batch_id: str, query: RowsQuery, timeout: float | None) -> Steps[None]:
        """Give the rows that a query selects, page by page."""
        deadline = Deadline.after(timeout)
        number, pages = 1, 1
        while number <= pages:
            page = yield from self._page(batch_id, query, number, deadline)
            for row in page.rows:
                yield Give(row)
            number, pages = number + 1, page.pages

    def correct_cells(
        self, submission: Submission, cells: CorrectedCells, timeout: float | None
    ) -> Steps[Batch]:
        """Correct cells of rejected rows.

        The rows are read as the service writes them and sent back, so that their other cells stay
        as they are.

        Args:
            submission: without a file; says which batch is corrected.
            cells: the corrections.
            timeout: total seconds.

        Raises:
            ValueError: there is no correction, or it is of a row that is not rejected, or of a
                column that the file does not have.
        """
        if not cells:
            raise ValueError("no cell is corrected")
        deadline = Deadline.after(timeout)
        with tempfile.TemporaryDirectory() as folder:
            rejected, corrected = Path(folder, "rejected.csv"), Path(folder, "corrected.csv")
            yield from self._rejected(submission.corrects or "", rejected).run(deadline)
            yield Work(partial(write_corrected, rejected, corrected, cells))
            sent = dataclasses.replace(submission, file=corrected)
            return (yield from Files(self.exchange).submit(sent, deadline))

    def _rejected(self, batch_id: str, target: Path) -> Download:
        return Download(
            exchange=self.exchange,
            url=f"/batches/{path_part(batch_id)}/rejected",
            target=target,
            params={"delimiter": "comma"},
            name="cells",
        )


def write_corrected(rejected: Path, corrected: Path, cells: CorrectedCells) -> None:
    """Write the corrected ones of the rejected rows, with their corrected cells.

    Args:
        rejected: rejected rows as the service writes them, with commas.
        corrected: the file that is written.
        cells: the corrections.

    Raises:
        ValueError: as `Rows.correct_cells`.
    """
    missing = {str(line): dict(texts) for line, texts in cells.items()}
    with (
        rejected.open(encoding="utf-8", newline="") as source,
        corrected.open("w", encoding="utf-8", newline="") as target,
    ):
        rows = csv.DictReader(source)
        columns = list(rows.fieldnames or ())
        unknown = {name for texts in missing.values() for name in texts}.difference(columns)
        if unknown:
            raise ValueError(f"the file has no column {', '.join(sorted(unknown))}")
        line_column = columns[LINE_COLUMN]
        writer = csv.DictWriter(target, columns)
        writer.writeheader()
        for row in rows:
            texts = missing.pop(row[line_column], None)
            if texts is not None:
                writer.writerow(row | texts)
    if missing:
        raise ValueError(f"no rejected row is on line {', '.join(missing)}")
